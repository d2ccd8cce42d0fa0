import { describe, expect, it } from 'vitest';
import { toRecordedAt } from '../../../libs/base/clock.ts';
import { createSystemRandomness, randomId } from '../../../libs/base/random.ts';
import { decodeHeader, decodeSealedEvent, encodeHeader } from '../../../libs/codec/sealed-event.ts';
import { type HeaderDraft, sealEvent, unsealEvent } from '../../../libs/keyring/event-sealer.ts';
import { Ring } from '../../../libs/keyring/ring.ts';
import { newRingMaterial } from '../../../libs/keyring/ring-material.ts';

const randomness = createSystemRandomness();
const newId = () => randomId(randomness) as never;

function newRing(kind: 1 | 2 | 3): Ring {
  const { nodes, idKey } = newRingMaterial(kind, randomness);
  const material = idKey === undefined ? { nodes } : { nodes, idKey };
  return new Ring({ app: newId(), kind, id: newId() }, 1, material);
}

const rings = { app: newRing(1), owner: newRing(2), place: newRing(3) };

function draft(): HeaderDraft {
  return {
    eventId: newId(),
    attempt: 1,
    app: newId(),
    type: 'MessagePosted',
    stream: newId(),
    place: newId(),
    ownerKind: 'person',
    owner: newId(),
    thing: newId(),
    retentionClass: 1,
    occurredAt: 1_700_000_000_000,
    recordedAt: toRecordedAt(1_700_000_000_001, 2),
    contentFingerprint: '0123456789abcdef',
    attachments: [],
    contentKind: 'text',
    authorRole: 'user',
    replyTo: null,
    receiptStatus: null,
  };
}

function seal(content: string) {
  const sealed = sealEvent(draft(), Buffer.from(content), { rings, randomness });
  if (sealed === 'forgotten') throw new Error('nothing was taken from these rings');
  return sealed;
}

describe('sealing an event', () => {
  it('opens to the same content, also when it is empty', () => {
    for (const content of ['', 'hello', 'x'.repeat(100_000)]) {
      const opened = unsealEvent(decodeSealedEvent(seal(content).value), rings);
      expect(opened.toString()).toBe(content);
    }
  });

  it('S36 is tampered when any single byte of the stored record is changed', () => {
    const { value } = seal('one sentence');
    for (let at = 0; at < value.length; at += 1) {
      const changed = Buffer.from(value);
      changed[at] = changed[at]! ^ 0x01;
      const attempt = () => unsealEvent(decodeSealedEvent(changed), rings);
      expect(attempt, `byte ${at}`).toThrowError(
        expect.objectContaining({
          code: expect.stringMatching(/^(EVENT_TAMPERED|FORMAT_UNKNOWN)$/),
        }),
      );
    }
  });

  it('S36 is tampered when its ciphertext is moved under another header', () => {
    const one = decodeSealedEvent(seal('of the one').value);
    const other = decodeSealedEvent(seal('of the other').value);
    const { nonce, ciphertext, tag } = one;
    const moved = { ...other, nonce, ciphertext, tag };
    expect(() => unsealEvent(moved, rings)).toThrow('authentication tag');
  });

  it('refuses times that the format cannot hold', () => {
    const late = { ...draft(), occurredAt: 65_536 * 86_400_000 };
    expect(() => sealEvent(late, Buffer.alloc(0), { rings, randomness })).toThrow(RangeError);
  });
});

describe('an event of a newer version', () => {
  it('that is sealed with a cipher unknown here is FORMAT_UNKNOWN, never tampered', () => {
    const event = decodeSealedEvent(seal('words').value);
    const newer = { ...event, header: { ...event.header, cipher: 2 } };
    expect(() => unsealEvent(newer, rings)).toThrowError(
      expect.objectContaining({ code: 'FORMAT_UNKNOWN' }),
    );
  });

  it('whose header has a format version unknown here is FORMAT_UNKNOWN', () => {
    const { header } = decodeSealedEvent(seal('words').value);
    const bytes = encodeHeader({ ...header, formatVersion: 2 });
    expect(() => decodeHeader(bytes)).toThrowError(
      expect.objectContaining({ code: 'FORMAT_UNKNOWN' }),
    );
  });
});
