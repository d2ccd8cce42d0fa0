/**
 * One app's part of a turn. The app gets a new root, which wraps its other keys unchanged. Every
 * bucket that lost something gets a new key, under which its surviving rows are wrapped anew.
 */

import type { LossId } from '../../base/ids.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import { again, retryContended } from '../../base/retry.ts';
import { secretConcat } from '../../base/secret-bytes.ts';
import type { WrappingKey } from '../../keyring/wrapping-key.ts';
import type { App } from '../keys/app-registry.ts';
import { newKeyRow } from '../keys/key-rows.ts';
import {
  APP_KINDS,
  appSlot,
  bucketKeyRow,
  bucketSlot,
  type KeySlot,
  storeSlot,
} from '../rows/key-slots.ts';
import {
  type RowKey,
  rowKinds,
  type VaultBatch,
  type VaultRow,
  type VaultStore,
} from '../rows/vault-store.ts';
import { rewrapped, wrapRow } from '../rows/wrapped-row.ts';
import type { DamagedRows } from './damaged-rows.ts';
import type { TurnContext, TurnRun } from './turn-run.ts';

const ROWS_PER_COMMIT = 200;
// Rows of a bucket are written some at a time, together: on a server each write is a round of
// Paxos. Cassandra warns of batches over 5 KiB; a row's other columns take about this much.
const BATCH_BYTES_MAX = 4_096;
const ROW_BYTES = 150;

/** What of an app is turned, and by which run. */
interface AppScope {
  readonly run: TurnRun;
  readonly damaged: DamagedRows;
  /** Buckets that get new keys. */
  readonly dirty: readonly number[];
}

/** Turns one app; what was interrupted is gone on with. */
export async function turnApp(
  deps: TurnContext,
  app: App,
  scope: AppScope,
): Promise<{ buckets: number; rows: number }> {
  await finishLeftover(deps, app, scope);
  await replaceRoot(deps, app, scope);
  if (deps.store.guards === 'inPartition') await insertMissingBuckets(deps, app);
  await rewrapKeys(deps, app, scope);
  return rewrapBuckets(deps, app, scope);
}

async function rewrapBuckets(deps: TurnContext, app: App, scope: AppScope) {
  let [buckets, rows] = [0, 0];
  for (const { bucket } of await list(deps, rowKinds.bucketKeyPrevious, app)) {
    if ((await predecessor(deps, bucketSlot(app.id, bucket), scope)) === undefined) continue;
    rows += await rewrapBucket(deps, app, { ...scope, bucket });
    buckets += 1;
  }
  return { buckets, rows };
}

/**
 * Ends what an earlier turn failed to do for this app, so that this one begins from the start. A
 * predecessor that this turn made is at its first version; one that was kept is at a later one.
 */
async function finishLeftover(deps: TurnContext, app: App, scope: AppScope): Promise<void> {
  const { store } = deps;
  const row = await predecessor(deps, appSlot(app.id), scope);
  if (row === undefined) return;
  const [dying] = await store.read([storeSlot().previous]);
  if (row.version === 1 && row.wrappingKey === dying?.ownKey) return;
  await rewrapKeys(deps, app, { ...scope, dirty: [] });
  await rewrapBuckets(deps, app, scope);
  // The root's last: it opens the others.
  const done = [...(await list(deps, rowKinds.bucketKeyPrevious, app)), row];
  const retired = done.flatMap(({ kind, ownKey }) => {
    return ownKey === null ? [] : [{ app: app.id, kind, id: ownKey }];
  });
  await deps.lossFeed.enter(retired, scope.run.turn.id as LossId);
  await store.commit(done.map((one) => ({ removals: [one] })));
}

/** Does a row that holds a key open? */
export async function opensNow({ hierarchy }: TurnContext, row: VaultRow): Promise<boolean> {
  try {
    return (await hierarchy.openKeyRow(row)) !== 'erased';
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return false;
    throw error;
  }
}

/**
 * The row of the key that a turn retires in this slot, if there is one that opens. Another, which
 * nobody made or a disk damaged, holds nothing and keeps the place: it is named and goes.
 */
async function predecessor(
  deps: TurnContext,
  { previous }: KeySlot,
  { damaged }: Pick<AppScope, 'damaged'>,
): Promise<VaultRow | undefined> {
  const { store } = deps;
  return retryContended(async () => {
    const [row] = await store.read([previous]);
    if (row === undefined || (await opensNow(deps, row))) return row;
    if (damaged.note(row)) await store.commit([{ removals: [{ ...row, ownKey: null }] }]);
    return again;
  });
}

async function list({ store }: TurnContext, kind: VaultRow['kind'], app: App): Promise<VaultRow[]> {
  const rows: VaultRow[] = [];
  for await (const row of store.scan(kind, app.id)) rows.push(row);
  return rows;
}

/** A new key takes a slot; the old one stays beside it, wrapped by what this turn retires. */
async function replaceKey(
  deps: TurnContext,
  slot: KeySlot,
  under: { row: VaultRow; parent: WrappingKey; dying: WrappingKey },
): Promise<VaultRow[]> {
  const { row, parent, dying } = under;
  const opened = await deps.hierarchy.openKeyRow(row);
  if (opened === 'erased') throw new LetheError('VAULT_TAMPERED', 'a key row is a fence');
  const plain = secretConcat([Buffer.from(row.ownKey!, 'hex'), opened.bytes]);
  const previous = wrapRow({ key: slot.previous, ownKey: row.ownKey! }, plain, dying);
  plain.fill(0);
  return [newKeyRow(slot.current, parent, deps.randomness, row), previous];
}

/** The key that a turn retires in this slot. Throws VAULT_TAMPERED: it is not there. */
async function retiredKey(deps: TurnContext, slot: KeySlot): Promise<WrappingKey> {
  const [row] = await deps.store.read([slot.previous]);
  const opened = row && (await deps.hierarchy.openKeyRow(row));
  if (opened === undefined || opened === 'erased') {
    throw new LetheError('VAULT_TAMPERED', 'a key that a turn replaced is missing');
  }
  return opened.wrapping;
}

async function replaceRoot(deps: TurnContext, app: App, scope: AppScope): Promise<void> {
  const { store, hierarchy } = deps;
  const slot = appSlot(app.id);
  return retryContended(async () => {
    hierarchy.forgetCurrent();
    if ((await predecessor(deps, slot, scope)) !== undefined) return;
    const [row] = await store.read([slot.current]);
    const parent = await hierarchy.storeRoot();
    const dying = await retiredKey(deps, storeSlot());
    if ((await scope.run.judge(row!, dying)) !== 'carry') {
      await scope.run.takeAgain(app.id);
      throw new LetheError('VAULT_TAMPERED', 'it was erased, and its root is there again');
    }
    const puts = await replaceKey(deps, slot, { row: row!, parent, dying });
    const guard = { key: storeSlot().current, ownKey: parent.id };
    // What lies beside the root is under the root itself: with a new one its loss is covered.
    const [inBucket] = await store.versions([bucketKeyRow(app.id, 0)]);
    const isKeyless = store.guards !== 'inPartition' && inBucket === undefined;
    const cleans = isKeyless ? { cleans: { app: app.id, bucket: 0 } } : {};
    const [outcome] = await store.commit([{ guard, puts, ...cleans }]);
    hierarchy.forgetBucketKey(app.id, 0);
    if (outcome === 'done') return;
    return again;
  });
}

/**
 * Where a bucket's key cannot be bound to the app's root by the write itself, every bucket gets its
 * key now: one that is inserted late, under the root that this turn retires, finds the place taken.
 */
async function insertMissingBuckets(deps: TurnContext, app: App): Promise<void> {
  const { store, hierarchy, randomness } = deps;
  hierarchy.forgetCurrent();
  const parent = (await hierarchy.appRoot(app.id))!;
  const there = new Set((await list(deps, rowKinds.bucketKey, app)).map((row) => row.bucket));
  const guard = { key: appSlot(app.id).current, ownKey: parent.id };
  let puts: VaultRow[] = [];
  const flush = async () => {
    await store.commit(puts.map((put) => ({ guard, puts: [put] })));
    puts = [];
  };
  for (let bucket = 0; bucket < app.buckets; bucket += 1) {
    if (there.has(bucket)) continue;
    puts.push(newKeyRow(bucketKeyRow(app.id, bucket), parent, randomness));
    if (puts.length >= ROWS_PER_COMMIT) await flush();
  }
  await flush();
}

/** Keys under the app's root: unchanged under the new one, new where a bucket lost something. */
async function rewrapKeys(deps: TurnContext, app: App, scope: AppScope): Promise<void> {
  const { damaged } = scope;
  const dirty = new Set(scope.dirty);
  const { store, hierarchy } = deps;
  return retryContended(async () => {
    hierarchy.forgetCurrent();
    const parent = (await hierarchy.appRoot(app.id))!;
    const old: VaultRow[] = [];
    for (const kind of APP_KINDS) {
      for (const row of await list(deps, kind, app)) {
        if (row.wrappingKey !== parent.id && !damaged.has(row)) old.push(row);
      }
    }
    if (old.length === 0) return;
    const dying = await retiredKey(deps, appSlot(app.id));
    const guard = { key: appSlot(app.id).current, ownKey: parent.id };
    const isNew = (row: VaultRow) => row.kind === rowKinds.bucketKey && dirty.has(row.bucket);
    for (let at = 0; at < old.length; at += ROWS_PER_COMMIT) {
      const rows = old.slice(at, at + ROWS_PER_COMMIT);
      const batches: VaultBatch[] = [];
      for (const row of rows) {
        const { bucket } = row;
        const put = rewrapped(row, dying, parent);
        if (put === undefined) {
          damaged.note(row);
          continue;
        }
        const under = { row, parent, dying };
        if (isNew(row)) await predecessor(deps, bucketSlot(app.id, bucket), scope);
        const batch = isNew(row)
          ? {
              puts: await replaceKey(deps, bucketSlot(app.id, bucket), under),
              cleans: { app: app.id, bucket },
            }
          : { puts: [put] };
        batches.push({ guard, ...batch });
      }
      try {
        await store.commit(batches);
      } finally {
        for (const { bucket } of rows.filter(isNew)) hierarchy.forgetBucketKey(app.id, bucket);
      }
    }
    return again;
  });
}

/** Writes rows of one bucket; how many were still what they had been when they were read. */
async function commitRows(
  store: VaultStore,
  guard: NonNullable<VaultBatch['guard']>,
  rows: readonly VaultRow[],
): Promise<number> {
  const groups = groupBySize(rows);
  const outcomes = await store.commit(groups.map((puts) => ({ guard, puts })));
  const isDone = (i: number) => outcomes[i] === 'done';
  const done = groups.filter((_, i) => isDone(i)).flat().length;
  // One row that was written meanwhile keeps its group from being written: now each by itself.
  const alone = groups.filter((group, i) => !isDone(i) && group.length > 1).flat();
  if (alone.length === 0) return done;
  const again = await store.commit(alone.map((row) => ({ guard, puts: [row] })));
  return done + again.filter((outcome) => outcome === 'done').length;
}

function groupBySize(rows: readonly VaultRow[]): VaultRow[][] {
  const groups: VaultRow[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    const bytes = ROW_BYTES + row.wrapped.length;
    if (size + bytes > BATCH_BYTES_MAX) {
      groups.push([]);
      size = 0;
    }
    groups.at(-1)!.push(row);
    size += bytes;
  }
  return groups;
}

/** Wraps a bucket's surviving rows under its new key, until none names another. */
async function rewrapBucket(
  deps: TurnContext,
  app: App,
  { bucket, damaged, run }: AppScope & { readonly bucket: number },
): Promise<number> {
  const { store, hierarchy } = deps;
  const key: RowKey = bucketKeyRow(app.id, bucket);
  let count = 0;
  return retryContended(async () => {
    hierarchy.forgetBucketKey(app.id, bucket);
    const current = (await hierarchy.bucketKeys(app.id, [bucket])).get(bucket)!;
    const retired = await retiredKey(deps, bucketSlot(app.id, bucket));
    const guard = { key, ownKey: current.id };
    let old: VaultRow[] = [];
    let seen = 0;
    let isTakenAgain = false;
    const flush = async () => {
      count += await commitRows(store, guard, old);
      old = [];
      // Live reads and writes come between.
      await new Promise((resolve) => setImmediate(resolve));
    };
    for await (const row of store.scanBucket({ app: app.id, buckets: app.buckets, bucket })) {
      if (row.wrappingKey === current.id) continue;
      const put = rewrapped(row, retired, current);
      const judged = put === undefined ? 'leave' : await run.judge(row, retired);
      if (judged === 'leave' && damaged.note(row)) continue;
      seen += 1;
      if (judged === 'remove') await store.commit([{ removals: [row] }]);
      if (judged === 'takeAgain') isTakenAgain = true;
      if (judged === 'carry') old.push(put!);
      if (old.length >= ROWS_PER_COMMIT) await flush();
    }
    await flush();
    if (seen === 0) return count;
    if (isTakenAgain) await run.takeAgain(app.id);
    return again;
  });
}
