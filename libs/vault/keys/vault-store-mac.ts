/** StoreMac over the vault: its key lies under the store root twice, and is made at first use. */
import { HmacKey } from '../../codec/hash.ts';
import type { StoreMac } from '../../keyring/store-mac.ts';
import { rowKinds } from '../rows/vault-store.ts';
import type { SparedIds } from './key-hierarchy.ts';
import type { VaultContext } from './vault-context.ts';

const idOf = (number: number) => String(number).padStart(32, '0');
// Beside the key of the store's own access keys, which has the id NO_ID.
const MAC_KEY: SparedIds = { id: idOf(1), spareId: idOf(3) };
const FORMERS_FROM = 10;

/** The codes of a store, and those of the stores that it was restored from. */
export interface StoreMacs extends StoreMac {
  /** For what those wrote: nothing of theirs is made any more. Oldest first. */
  formers(): Promise<StoreMac[]>;
  /**
   * Makes a key of its own for a store that was restored, which nobody else has open: what the
   * original writes from now on is nothing here, nor the other way round. Gives the one before.
   */
  renew(): Promise<StoreMac>;
}

/** Opens it. */
export function createStoreMac({ hierarchy }: Pick<VaultContext, 'hierarchy'>): StoreMacs {
  const macUnder = (ids: SparedIds): StoreMac => ({
    async mac(label, fields) {
      const { bytes } = await hierarchy.sparedKey(rowKinds.accessKey, ids);
      const key = new HmacKey(bytes);
      try {
        return key.digestFields(label, fields).toString('hex');
      } finally {
        key.destroy();
      }
    },
  });

  async function countFormers(): Promise<number> {
    for (let count = 0; ; count += 1) {
      const ids = formerIds(count);
      if ((await hierarchy.findSparedKey(rowKinds.accessKey, ids)) === undefined) return count;
    }
  }

  return {
    ...macUnder(MAC_KEY),
    async formers() {
      const count = await countFormers();
      return Array.from({ length: count }, (_, number) => macUnder(formerIds(number)));
    },
    async renew() {
      const ids = formerIds(await countFormers());
      await hierarchy.replaceSparedKey(rowKinds.accessKey, MAC_KEY, ids);
      return macUnder(ids);
    },
  };
}

/** Where the key lies of a store that this one was restored from, by generations. */
function formerIds(number: number): SparedIds {
  const first = FORMERS_FROM + 2 * number;
  return { id: idOf(first), spareId: idOf(first + 1) };
}
