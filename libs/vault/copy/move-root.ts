/** The row of the store's root under the key of another KMS: what it wraps stays as it is. */
import { LetheError } from '../../base/lethe-error.ts';
import type { FeedStore } from '../feed/feed-store.ts';
import { wrapByKms } from '../keys/key-rows.ts';
import type { RootKms } from '../keys/root-kms.ts';
import { rowKinds, type VaultRow, type VaultStore } from '../rows/vault-store.ts';
import { rowAssociatedData } from '../rows/wrapped-row.ts';

/**
 * Gives a change for `copyVault`. Throws CONTENDED while a turn is under way: two roots are there
 * then, and one of them is about to go.
 */
export function moveRoot(
  from: RootKms,
  to: RootKms,
  target: { readonly store: Pick<VaultStore, 'read'>; readonly feed: Pick<FeedStore, 'head'> },
): (row: VaultRow) => Promise<VaultRow> {
  return async (row) => {
    if (row.kind === rowKinds.storeRootPrevious) {
      const text = 'a turn of the epoch is under way: finish it (lethe epoch turn), then copy';
      throw new LetheError('CONTENDED', text, { retryable: true });
    }
    if (row.kind !== rowKinds.storeRoot) return row;
    // One that was moved before keeps its key.
    const [moved] = await target.store.read([row]);
    if (moved?.ownKey === row.ownKey) return moved;
    const context = rowAssociatedData(row).toString('hex');
    const copiedFrom = await from.storeOf(row.wrappingKey);
    const store = (await target.feed.head()).incarnation;
    // Before the root is opened: a turn that ends the original's key afterwards finds this one.
    const wrappingKey = await to.createKey(store, { copiedFrom });
    try {
      const plain = await from.unwrap(row.wrappingKey, row.wrapped, context);
      return await wrapByKms(to, { ...row, wrappingKey, ownKey: row.ownKey! }, plain);
    } catch (error) {
      await to.destroyKey(wrappingKey);
      throw error;
    }
  };
}
