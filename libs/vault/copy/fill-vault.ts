/**
 * Fills an empty vault from a copy: everything first, the row of the store's root last of all,
 * because without it no service opens a vault.
 */
import type { FeedStore } from '../feed/feed-store.ts';
import { STORE_ROOT } from '../rows/key-slots.ts';
import { rowKinds, type VaultRow, type VaultStore } from '../rows/vault-store.ts';
import { countDiffering, dropAbsent } from './compare-vaults.ts';
import { copyVault, type VaultCopy } from './vault-copy.ts';

/** What a vault is filled from, or into. */
interface VaultEnd {
  readonly store: VaultStore;
  readonly copy: VaultCopy;
}

/** Does a store open with this vault? */
export async function hasStoreRoot(store: VaultStore): Promise<boolean> {
  const [root] = await store.versions([STORE_ROOT]);
  return root !== undefined;
}

/**
 * Fills; can be repeated. Whoever held keys of the store that was lost begins anew. Gives how many
 * rows of something else are there: when it is not 0 the root is not written.
 */
export async function fillVault(
  from: VaultEnd & { readonly feed: FeedStore },
  to: VaultEnd & { readonly feed: FeedStore },
  onProgress: (rows: number) => void,
): Promise<{ readonly foreignRows: number }> {
  const isRoot = (row: VaultRow) => row.kind === rowKinds.storeRoot;
  await copyVault(from.copy, to.copy, {
    isLeftOut: isRoot,
    onProgress: ({ rows }) => onProgress(rows),
  });
  // What a run that was interrupted has left is of this copy, or it goes.
  await dropAbsent(from.store, to.copy);
  const foreignRows = await countDiffering(from.copy, to.store, isRoot);
  if (foreignRows > 0) return { foreignRows };
  // Its key at the KMS was made for a store of this id.
  await to.feed.renew((await from.feed.head()).incarnation);
  const roster = await from.feed.roster();
  if (roster !== undefined) await to.feed.replaceRoster(undefined, roster);
  const [root] = await from.store.read([STORE_ROOT]);
  await to.copy.loadRows([root!]);
  return { foreignRows: 0 };
}
