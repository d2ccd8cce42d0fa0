/** StoreMac over the vault: its key lies under the store root twice, and is made at first use. */
import { LetheError } from '../../base/lethe-error.ts';
import { HmacKey } from '../../codec/hash.ts';
import { passOverDamage } from '../../keyring/past-damage.ts';
import type { StoreMac } from '../../keyring/store-mac.ts';
import { numberedId, storeRow } from '../rows/key-slots.ts';
import { rowKinds } from '../rows/vault-store.ts';
import { type SparedIds, sparedRows } from './key-hierarchy.ts';
import type { VaultContext } from './vault-context.ts';

// Beside the key of the store's own access keys, which has the id NO_ID.
const MAC_KEY: SparedIds = { id: numberedId(1), spareId: numberedId(3) };
const FORMERS_FROM = 10;
/** So often a store can be restored from one that was restored. */
const FORMERS_MAX = 32;

/** The row of the key, by whose id a store and its copies are known: turns keep it. */
export const STORE_MAC_ROW = storeRow(rowKinds.accessKey, MAC_KEY.id);

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
export function createStoreMac({
  hierarchy,
  store,
}: Pick<VaultContext, 'hierarchy' | 'store'>): StoreMacs {
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

  /** Those that open: rows that somebody made up lie beside them, and are passed over. */
  async function findFormers(): Promise<StoreMac[]> {
    const found: StoreMac[] = [];
    for (let number = 0; number < FORMERS_MAX; number += 1) {
      const ids = formerIds(number);
      const find = () => hierarchy.findSparedKey(rowKinds.accessKey, ids);
      const key = await passOverDamage(find);
      if (key !== undefined) found.push(macUnder(ids));
    }
    return found;
  }

  async function freeIds(): Promise<SparedIds> {
    for (let number = 0; number < FORMERS_MAX; number += 1) {
      const ids = formerIds(number);
      const rows = await store.versions(sparedRows(rowKinds.accessKey, ids));
      if (rows.every((row) => row === undefined)) return ids;
    }
    throw new LetheError('VAULT_TAMPERED', 'the vault has no place left for a key of its original');
  }

  return {
    ...macUnder(MAC_KEY),
    formers: findFormers,
    async renew() {
      const ids = await freeIds();
      await hierarchy.replaceSparedKey(rowKinds.accessKey, MAC_KEY, ids);
      return macUnder(ids);
    },
  };
}

/** Where the key lies of a store that this one was restored from, by generations. */
function formerIds(number: number): SparedIds {
  const first = FORMERS_FROM + 2 * number;
  return { id: numberedId(first), spareId: numberedId(first + 1) };
}
