/** Building blocks of a shred: the current bucket key of a row, fences. */
import type { ErasureId } from '../base/ids.ts';
import { isLetheError } from '../base/lethe-error.ts';
import type { Randomness } from '../base/random.ts';
import type { WrappingKey } from '../keyring/wrapping-key.ts';
import type { AppRegistry } from './app-registry.ts';
import type { Directory } from './directory.ts';
import type { FeedRow } from './feed-store.ts';
import type { LossFeed } from './feed-wait.ts';
import { bucketKeyRow, contended, type KeyHierarchy } from './key-hierarchy.ts';
import type { KeyLease } from './key-lease.ts';
import {
  type RowKey,
  rowStates,
  type VaultBatch,
  type VaultRow,
  type VaultStore,
} from './vault-store.ts';
import { fenceRow, openRow } from './wrapped-row.ts';

export interface ShredDeps {
  store: VaultStore;
  hierarchy: KeyHierarchy;
  apps: AppRegistry;
  directory: Directory;
  randomness: Randomness;
  lossFeed: LossFeed;
  lease: Pick<KeyLease, 'sync'>;
}

export const SHRED_ATTEMPTS_MAX = 16;

/** Enters a loss into the feed, durably, and lets this process apply it at once. */
export async function enterLoss(
  deps: Pick<ShredDeps, 'lossFeed' | 'lease'>,
  rows: readonly FeedRow[],
  by: ErasureId,
): Promise<void> {
  await deps.lossFeed.enter(rows, by);
  await deps.lease.sync();
}

/** The current key of a row's bucket, and the guard that it still is. */
export async function currentBucketKey(deps: ShredDeps, row: VaultRow) {
  const { hierarchy } = deps;
  let wrapping = (await hierarchy.bucketKeys(row.app, [row.bucket])).get(row.bucket)!;
  if (wrapping.id !== row.wrappingKey) {
    hierarchy.forgetBucketKey(row.app, row.bucket);
    wrapping = (await hierarchy.bucketKeys(row.app, [row.bucket])).get(row.bucket)!;
  }
  const guard = { key: bucketKeyRow(row.app, row.bucket), ownKey: wrapping.id };
  return { wrapping, guard };
}

/** Turns rows into fences, durably; rows that are absent or fences already are left alone. */
export async function fenceRows(
  deps: ShredDeps,
  keys: readonly RowKey[],
  by: ErasureId,
): Promise<void> {
  const { store } = deps;
  for (let attempt = 0; attempt < SHRED_ATTEMPTS_MAX; attempt += 1) {
    const rows = (await store.read(keys)).filter((row) => row !== undefined);
    const batches: VaultBatch[] = [];
    for (const row of rows) {
      const { wrapping, guard } = await currentBucketKey(deps, row);
      // A row that only says that it is a fence would keep its keys.
      if (isFence(row, wrapping)) continue;
      batches.push({ guard, puts: [fenceRow(row, by, wrapping)] });
    }
    if (batches.length === 0) return store.scrub();
    await store.commit(batches);
  }
  throw contended();
}

function isFence(row: VaultRow, wrapping: WrappingKey): boolean {
  try {
    return row.state === rowStates.erased && openRow(row, wrapping) === 'erased';
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return false;
    throw error;
  }
}
