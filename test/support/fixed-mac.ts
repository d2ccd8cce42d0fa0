/** Codes under a key that stays: of the feed, and of lists that decide. */
import { HmacKey } from '../../libs/codec/hash.ts';
import type { StoreMac } from '../../libs/keyring/store-mac.ts';

export function fixedMac(byte = 7): StoreMac {
  const key = new HmacKey(Buffer.alloc(32, byte));
  return { mac: async (label, fields) => key.digestFields(label, fields).toString('hex') };
}
