/** StoreMac over the vault: its key lies under the store root twice, and is made at first use. */
import { HmacKey } from '../../codec/hash.ts';
import type { StoreMac } from '../../keyring/store-mac.ts';
import { rowKinds } from '../rows/vault-store.ts';
import type { VaultContext } from './vault-context.ts';

// Beside the key of the store's own access keys, which has the id NO_ID.
const MAC_KEY = '1'.padStart(32, '0');
const SPARE = '3'.padStart(32, '0');

/** Opens it. */
export function createStoreMac({ hierarchy }: Pick<VaultContext, 'hierarchy'>): StoreMac {
  return {
    async mac(label, fields) {
      const { bytes } = await hierarchy.sparedKey(rowKinds.accessKey, MAC_KEY, SPARE);
      const key = new HmacKey(bytes);
      try {
        return key.digestFields(label, fields).toString('hex');
      } finally {
        key.destroy();
      }
    },
  };
}
