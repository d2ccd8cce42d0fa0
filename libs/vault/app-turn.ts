/**
 * One app's part of a turn: a new root, its other keys wrapped by it unchanged, and for every
 * bucket that lost something a new key, under which its surviving rows are wrapped anew.
 */
import { LetheError } from '../base/lethe-error.ts';
import type { WrappingKey } from '../keyring/wrapping-key.ts';
import type { App } from './app-registry.ts';
import { contended } from './key-hierarchy.ts';
import { newKeyRow } from './key-rows.ts';
import {
  APP_KINDS,
  appSlot,
  bucketKeyRow,
  bucketSlot,
  type KeySlot,
  storeSlot,
} from './key-slots.ts';
import type { TurnDeps } from './turn-run.ts';
import { type RowKey, rowKinds, type VaultRow } from './vault-store.ts';
import { rewrapRow, wrapRow } from './wrapped-row.ts';

const ATTEMPTS_MAX = 16;
const ROWS_PER_COMMIT = 200;

/** Turns one app; what was interrupted is gone on with. */
export async function turnApp(
  deps: TurnDeps,
  app: App,
  dirty: readonly number[],
): Promise<{ buckets: number; rows: number }> {
  await finishLeftover(deps, app);
  await replaceRoot(deps, app);
  await rewrapKeys(deps, app, new Set(dirty));
  return rewrapBuckets(deps, app);
}

async function rewrapBuckets(deps: TurnDeps, app: App) {
  let [buckets, rows] = [0, 0];
  for (const row of await list(deps, rowKinds.bucketKeyPrevious, app)) {
    rows += await rewrapBucket(deps, app, row.bucket);
    buckets += 1;
  }
  return { buckets, rows };
}

/** Ends what an earlier turn failed to do for this app, so that this one begins from the start. */
async function finishLeftover(deps: TurnDeps, app: App): Promise<void> {
  const { store } = deps;
  const [row, dying] = await store.read([appSlot(app.id).previous, storeSlot().previous]);
  if (row === undefined || row.wrappingKey === dying?.ownKey) return;
  await rewrapKeys(deps, app, new Set());
  await rewrapBuckets(deps, app);
  const done = [row, ...(await list(deps, rowKinds.bucketKeyPrevious, app))];
  await store.commit(done.map((one) => ({ removals: [one] })));
}

async function list({ store }: TurnDeps, kind: VaultRow['kind'], app: App): Promise<VaultRow[]> {
  const rows: VaultRow[] = [];
  for await (const row of store.scan(kind, app.id)) rows.push(row);
  return rows;
}

/** A new key takes a slot; the old one stays beside it, wrapped by what this turn retires. */
async function replaceKey(
  deps: TurnDeps,
  slot: KeySlot,
  under: { row: VaultRow; parent: WrappingKey; dying: WrappingKey },
): Promise<VaultRow[]> {
  const { row, parent, dying } = under;
  const opened = await deps.hierarchy.openKeyRow(row);
  if (opened === 'erased') throw new LetheError('VAULT_TAMPERED', 'a key row is a fence');
  const plain = Buffer.concat([Buffer.from(row.ownKey!, 'hex'), opened.bytes]);
  const previous = wrapRow({ key: slot.previous, ownKey: row.ownKey! }, plain, dying);
  plain.fill(0);
  return [newKeyRow(slot.current, parent, deps.randomness, row), previous];
}

/** The key that a turn retires in this slot. Throws VAULT_TAMPERED: it is not there. */
async function retiredKey(deps: TurnDeps, slot: KeySlot): Promise<WrappingKey> {
  const [row] = await deps.store.read([slot.previous]);
  const opened = row && (await deps.hierarchy.openKeyRow(row));
  if (opened === undefined || opened === 'erased') {
    throw new LetheError('VAULT_TAMPERED', 'a key that a turn replaced is missing');
  }
  return opened.wrapping;
}

async function replaceRoot(deps: TurnDeps, app: App): Promise<void> {
  const { store, hierarchy } = deps;
  const slot = appSlot(app.id);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    hierarchy.forgetCurrent();
    const [row, previous] = await store.read([slot.current, slot.previous]);
    if (previous !== undefined) return;
    const parent = await hierarchy.storeRoot();
    const dying = await retiredKey(deps, storeSlot());
    const puts = await replaceKey(deps, slot, { row: row!, parent, dying });
    const guard = { key: storeSlot().current, ownKey: parent.id };
    const [outcome] = await store.commit([{ guard, puts }]);
    hierarchy.forgetBucketKey(app.id, 0);
    if (outcome === 'done') return;
  }
  throw contended();
}

/** Keys under the app's root: unchanged under the new one, new where a bucket lost something. */
async function rewrapKeys(deps: TurnDeps, app: App, dirty: ReadonlySet<number>): Promise<void> {
  const { store, hierarchy } = deps;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    hierarchy.forgetCurrent();
    const parent = (await hierarchy.appRoot(app.id))!;
    const old: VaultRow[] = [];
    for (const kind of APP_KINDS) {
      for (const row of await list(deps, kind, app)) {
        if (row.wrappingKey !== parent.id) old.push(row);
      }
    }
    if (old.length === 0) return;
    const dying = await retiredKey(deps, appSlot(app.id));
    const guard = { key: appSlot(app.id).current, ownKey: parent.id };
    for (const row of old) {
      const isNew = row.kind === rowKinds.bucketKey && dirty.has(row.bucket);
      const slot = bucketSlot(app.id, row.bucket);
      const batch = isNew
        ? {
            guard,
            puts: await replaceKey(deps, slot, { row, parent, dying }),
            cleans: { app: app.id, bucket: row.bucket },
          }
        : { guard, puts: [rewrapRow(row, dying, parent)] };
      await store.commit([batch]);
      if (isNew) hierarchy.forgetBucketKey(app.id, row.bucket);
    }
  }
  throw contended();
}

/** Wraps a bucket's surviving rows under its new key, until none names another. */
async function rewrapBucket(deps: TurnDeps, app: App, bucket: number): Promise<number> {
  const { store, hierarchy } = deps;
  const key: RowKey = bucketKeyRow(app.id, bucket);
  let count = 0;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    hierarchy.forgetBucketKey(app.id, bucket);
    const current = (await hierarchy.bucketKeys(app.id, [bucket])).get(bucket)!;
    const retired = await retiredKey(deps, bucketSlot(app.id, bucket));
    const guard = { key, ownKey: current.id };
    let old: VaultRow[] = [];
    let seen = 0;
    const flush = async () => {
      const puts = old.map((row) => rewrapRow(row, retired, current));
      const outcomes = await store.commit(puts.map((row) => ({ guard, puts: [row] })));
      count += outcomes.filter((outcome) => outcome === 'done').length;
      old = [];
      // Live reads and writes come between.
      await new Promise((resolve) => setImmediate(resolve));
    };
    for await (const row of store.scanBucket({ app: app.id, buckets: app.buckets, bucket })) {
      if (row.wrappingKey === current.id) continue;
      seen += 1;
      old.push(row);
      if (old.length >= ROWS_PER_COMMIT) await flush();
    }
    await flush();
    if (seen === 0) return count;
  }
  throw contended();
}
