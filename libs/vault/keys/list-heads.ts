/**
 * What the vault knows of the list of erasures: how far it goes, and how far it went when the
 * newest backup began. Both lie wrapped under the store root: who has no key can change neither.
 */
import { isLetheError } from '../../base/lethe-error.ts';
import { again, retryContended } from '../../base/retry.ts';
import { numberedId, STORE_ROOT, storeRow } from '../rows/key-slots.ts';
import { type RowKey, rowKinds } from '../rows/vault-store.ts';
import { unwrapRow, wrapRow } from '../rows/wrapped-row.ts';
import type { VaultContext } from './vault-context.ts';

/** A place in a list: the number of an entry, and its code. */
export interface KnownPlace {
  readonly number: number;
  readonly mac: string;
}

/** Two places of one list. */
export interface ListHeads {
  readonly head: KnownPlaceRow;
  /** Where a restore of a copy of this vault begins to apply. */
  readonly backup: KnownPlaceRow;
}

/** One of them. Failures: VAULT_UNREACHABLE, LEASE_LOST (both retryable), VAULT_TAMPERED. */
export interface KnownPlaceRow {
  read(): Promise<KnownPlace>;
  /** Raises it; a lower one changes nothing. */
  raise(place: KnownPlace): Promise<void>;
}

/** The place before the first entry: that of an empty list. */
export const LIST_START: KnownPlace = { number: 0, mac: '' };
const keyOf = (id: number) => storeRow(rowKinds.listHead, numberedId(id));

/** Opens them. */
export function createListHeads(deps: Pick<VaultContext, 'store' | 'hierarchy'>): ListHeads {
  return { head: placeRow(deps, keyOf(0)), backup: placeRow(deps, keyOf(1)) };
}

function placeRow(
  { store, hierarchy }: Pick<VaultContext, 'store' | 'hierarchy'>,
  key: RowKey,
): KnownPlaceRow {
  async function load() {
    const [row] = await store.read([key]);
    if (row === undefined) return { row, place: LIST_START };
    try {
      const plain = unwrapRow(row, await hierarchy.openerOf(row));
      return { row, place: JSON.parse(plain.toString('utf8')) as KnownPlace };
    } catch (error) {
      // A damaged one must not stop every erasure, nor a restore, which then applies all there is.
      if (isLetheError(error, 'VAULT_TAMPERED')) return { row, place: LIST_START };
      throw error;
    }
  }
  return {
    read: async () => (await load()).place,
    raise: ({ number, mac }) =>
      retryContended(async () => {
        const { row, place } = await load();
        if (place.number >= number) return;
        hierarchy.forgetCurrent();
        const root = await hierarchy.storeRoot();
        const plain = Buffer.from(JSON.stringify({ number, mac }));
        const put = wrapRow({ key, ...(row && { previous: row }) }, plain, root);
        const guard = { key: STORE_ROOT, ownKey: root.id };
        const [outcome] = await store.commit([{ guard, puts: [put] }]);
        if (outcome === 'done') return;
        return again;
      }),
  };
}
