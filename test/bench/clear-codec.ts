/** The same path without sealing: for benchmarks only, it exists nowhere in the product. */
import { encodeRecordKey } from '../../libs/codec/event-record.ts';
import { encodeHeader, encodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import type { EventSealer } from '../../libs/keyring/event-sealer.ts';

const nonce = Buffer.alloc(12);
const tag = Buffer.alloc(16);

/** Writes the envelope around the clear content. */
export const clearSeal: EventSealer['seal'] = (draft, content) => {
  const header = { ...draft, formatVersion: 1, cipher: 1 };
  const headerBytes = encodeHeader(header);
  const value = encodeSealedEvent({ headerBytes, nonce, ciphertext: content, tag });
  return { header, key: encodeRecordKey(header), value };
};
