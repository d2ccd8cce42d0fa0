/** Building blocks of a shred: the current bucket key of a row, fences. */

import { type KeyId, type LossId, NO_ID } from '../../base/ids.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { bucketKeyRow } from '../rows/key-slots.ts';
import {
  type BatchOutcome,
  type RowKey,
  rowInWords,
  rowStates,
  type VaultBatch,
  type VaultRow,
} from '../rows/vault-store.ts';
import { fenceRow, openRow } from '../rows/wrapped-row.ts';

type GuardedBatch = VaultBatch & Required<Pick<VaultBatch, 'guard'>>;

/** Enters a loss into the feed, durably, and lets this process apply it at once. */
export async function enterLoss(
  deps: Pick<VaultContext, 'store' | 'lossFeed' | 'lease'>,
  rows: readonly RowKey[],
  by: LossId,
): Promise<void> {
  await deps.lossFeed.enter(rows, by);
  await deps.store.entered(rows, by);
  await deps.lease.sync();
}

/** The current key of a row's bucket, for writing, with the guard that it still is. */
export async function currentBucketKey(
  { hierarchy }: Pick<VaultContext, 'hierarchy'>,
  row: VaultRow,
) {
  const current = async () => {
    return (await hierarchy.bucketKeys(row.app, [row.bucket])).get(row.bucket)!;
  };
  let wrapping = await current();
  if (wrapping.id !== row.wrappingKey) {
    hierarchy.forgetBucketKey(row.app, row.bucket);
    wrapping = await current();
  }
  const guard = { key: bucketKeyRow(row.app, row.bucket), ownKey: wrapping.id };
  return { wrapping, guard };
}

/** Commits; after a conflict a bucket's key is read again, for a turn may have replaced it. */
export async function commitUnderKeys(
  { store, hierarchy }: Pick<VaultContext, 'store' | 'hierarchy'>,
  batches: readonly GuardedBatch[],
): Promise<BatchOutcome[]> {
  const outcomes = await store.commit(batches);
  for (const [i, { guard }] of batches.entries()) {
    if (outcomes[i] === 'conflict') hierarchy.forgetBucketKey(guard.key.app, guard.key.bucket);
  }
  return outcomes;
}

/**
 * Turns rows into fences, durably; rows that are absent or fences already are left alone. Throws
 * HELD when there is a hold on one: the look and the write are one conditional write.
 */
export async function fenceRows(
  deps: VaultContext,
  keys: readonly RowKey[],
  by: LossId,
  evenHeld?: 'evenHeld',
): Promise<void> {
  const { store } = deps;
  return retryContended(async () => {
    const rows = (await store.read(keys)).filter((row) => row !== undefined);
    const batches: GuardedBatch[] = [];
    for (const row of rows) {
      const { wrapping, guard } = await currentBucketKey(deps, row);
      // A row that only says that it is a fence would keep its keys.
      if (await isFence(deps, row)) continue;
      if (evenHeld === undefined && (await isHeldRow(deps, row))) throw held();
      batches.push({ guard, dirties: true, puts: [fenceRow(row, by, wrapping)] });
    }
    if (batches.length === 0) return store.scrub();
    await commitUnderKeys(deps, batches);
    return again;
  });
}

/** Makes a fence where there is no row, or one that does not open; false: there is another. */
export async function mendFence(deps: VaultContext, key: RowKey, by: LossId): Promise<boolean> {
  return retryContended(async () => {
    const [there] = await deps.store.read([key]);
    if (there === undefined) {
      const row = nothing(key);
      const { wrapping, guard } = await currentBucketKey(deps, row);
      const puts = [fenceRow(row, by, wrapping)];
      const [outcome] = await commitUnderKeys(deps, [{ guard, puts }]);
      return outcome === 'done' || again;
    }
    if (await opens(deps, there)) return false;
    await fenceRows(deps, [key], by, 'evenHeld');
    return true;
  });
}

/** A row that holds nothing, at the version before the first. */
function nothing(key: RowKey): VaultRow {
  const keys = { wrappingKey: NO_ID as KeyId, ownKey: null };
  const content = { wrapped: Buffer.alloc(0), holds: [], edges: [] };
  const loss = { erasure: null, fingerprint: null, owed: null };
  return { ...key, version: 0, state: rowStates.active, ...keys, ...content, ...loss };
}

/**
 * Removes a row, durably, as long as it is what is to go: a turn may wrap it anew meanwhile. Throws
 * CONTENDED, naming it, when it stays all the same.
 */
export async function removeRow(
  { store }: Pick<VaultContext, 'store'>,
  key: RowKey,
  isToGo: (row: VaultRow) => Promise<boolean>,
): Promise<void> {
  const removing = retryContended(async () => {
    const [row] = await store.read([key]);
    if (row === undefined || !(await isToGo(row))) return;
    await store.commit([{ dirties: true, removals: [row] }]);
    return again;
  });
  return removing.catch((error) => {
    throw isLetheError(error, 'CONTENDED') ? staysAsItIs(key) : error;
  });
}

function staysAsItIs(key: RowKey): LetheError {
  const advice = 'somebody keeps it as it was. Look at who can write the vault';
  const text = `${rowInWords(key)} does not give way: ${advice}`;
  return new LetheError('CONTENDED', text, { retryable: true });
}

/** Does a row name holds? They lie in clear: of one that does not authenticate they say nothing. */
async function isHeldRow(deps: VaultContext, row: VaultRow): Promise<boolean> {
  return row.holds.length > 0 && (await opens(deps, row));
}

/** Does a row authenticate, as a fence or with what it holds? */
async function opens(deps: VaultContext, row: VaultRow): Promise<boolean> {
  try {
    await isErasedRow(deps, row);
    return true;
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return false;
    throw error;
  }
}

/** What refuses a shred: it says nothing of whom or why. */
export function held(): LetheError {
  return new LetheError('HELD', 'there is a legal hold on what this would take: nothing was taken');
}

/** Opens a row under whichever key wraps it: during a turn, that may be its bucket's last one. */
export async function openAnyRow(
  { hierarchy }: Pick<VaultContext, 'hierarchy'>,
  row: VaultRow,
): Promise<Buffer | 'erased'> {
  return openRow(row, await hierarchy.openerOf(row));
}

/** Is a row a fence? What it holds else is wiped. Throws VAULT_TAMPERED. */
export async function isErasedRow(
  deps: Pick<VaultContext, 'hierarchy'>,
  row: VaultRow,
): Promise<boolean> {
  const plain = await openAnyRow(deps, row);
  if (plain === 'erased') return true;
  plain.fill(0);
  return false;
}

/** Is it a fence, and not only a row that says so? */
export async function isFence(deps: VaultContext, row: VaultRow): Promise<boolean> {
  try {
    return row.state === rowStates.erased && (await isErasedRow(deps, row));
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return false;
    throw error;
  }
}
