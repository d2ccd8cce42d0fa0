/**
 * The turn of an epoch (Reardon et al. 2013): a new KMS key, a new store root, and new keys for
 * every bucket that lost something, so that old copies of the vault open nothing once the old KMS
 * key is gone. Resumable at every step, beside live reads and writes: every write is conditional on
 * the version that was read and on the key that its parent holds now.
 */
import type { AppId, ErasureId, KeyId } from '../base/ids.ts';
import { isLetheError, LetheError } from '../base/lethe-error.ts';
import { type Randomness, randomId } from '../base/random.ts';
import type { WrappingKey } from '../keyring/wrapping-key.ts';
import type { AppRegistry } from './app-registry.ts';
import { turnApp } from './app-turn.ts';
import type { LossFeed } from './feed-wait.ts';
import { contended, type KeyHierarchy } from './key-hierarchy.ts';
import type { KeyLease } from './key-lease.ts';
import { newStoreRootRow, wrapByKms } from './key-rows.ts';
import { appSlot, storeSlot } from './key-slots.ts';
import type { RootKms } from './root-kms.ts';
import { enterLoss } from './shred-rows.ts';
import type { Turn, TurnStep, TurnStore } from './turn-store.ts';
import { type RowKind, rowKinds, type VaultRow, type VaultStore } from './vault-store.ts';
import { rewrapRow } from './wrapped-row.ts';

export interface TurnDeps {
  readonly store: VaultStore;
  readonly turns: TurnStore;
  readonly hierarchy: KeyHierarchy;
  readonly apps: AppRegistry;
  readonly kms: RootKms;
  readonly lossFeed: LossFeed;
  readonly lease: KeyLease;
  readonly randomness: Randomness;
}

export interface TurnOptions {
  readonly nowMs: () => number;
  /** Makes and tests the turn's own backup; called before the old KMS key goes. */
  readonly testBackup?: () => Promise<void>;
  readonly onProgress?: (text: string) => void;
}

const ATTEMPTS_MAX = 16;

/** Runs a turn to its end, or goes on with the one that was interrupted. */
export async function runTurn(deps: TurnDeps, options: TurnOptions): Promise<Turn> {
  let turn = await beginTurn(deps, options.nowMs());
  const advance = async (step: TurnStep, more: Partial<Turn> = {}) => {
    const next = { ...turn, ...more, step };
    if (!(await deps.turns.write(next, turn))) throw contended();
    turn = next;
    options.onProgress?.(`turn ${turn.id}: ${step}`);
  };
  if (turn.step === 'begun') {
    await turnStoreRoot(deps, turn);
    await advance('apps');
  }
  if (turn.step === 'apps') {
    const damaged = await rewrapUnderStoreRoot(deps);
    const done = await turnApps(deps, damaged, options);
    await retire(deps, { turn, failedApps: done.failedApps });
    await advance('retired', done);
  }
  if (turn.step === 'retired') {
    await options.testBackup?.();
    await advance('tested');
  }
  if (turn.step === 'tested') {
    await deps.kms.destroyKey(turn.oldKmsKey);
    const isGone = (await deps.kms.describeKey(turn.oldKmsKey)) === 'gone';
    await advance('done', { t1AtMs: isGone ? options.nowMs() : null });
  }
  return turn;
}

async function beginTurn({ turns, store, kms, hierarchy, randomness }: TurnDeps, nowMs: number) {
  const last = await turns.read();
  if (last !== undefined && last.step !== 'done') return last;
  await hierarchy.storeRoot();
  const [root] = await store.read([storeSlot().current]);
  const turn: Turn = {
    id: randomId(randomness),
    step: 'begun',
    oldKmsKey: root!.wrappingKey,
    newKmsKey: await kms.createKey(),
    startedAtMs: nowMs,
    t1AtMs: null,
    failedApps: [],
    buckets: 0,
    rows: 0,
  };
  if (await turns.write(turn, last)) return turn;
  // Another process began one: its KMS key counts, ours was never used.
  await kms.destroyKey(turn.newKmsKey);
  const theirs = await turns.read();
  if (theirs === undefined) throw contended();
  return theirs;
}

/** The new root takes the place of the old one, which stays beside it under the old KMS key. */
async function turnStoreRoot(deps: TurnDeps, turn: Turn): Promise<void> {
  const { store, kms, hierarchy } = deps;
  const { current, previous } = storeSlot();
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const [root] = await store.read([current]);
    if (root!.wrappingKey === turn.newKmsKey) return;
    const opened = await hierarchy.openKeyRow(root!);
    if (opened === 'erased') throw new LetheError('VAULT_TAMPERED', 'the store root is a fence');
    const ownKey = root!.ownKey!;
    const plain = Buffer.concat([Buffer.from(ownKey, 'hex'), opened.bytes]);
    const as = { kmsKey: turn.newKmsKey, version: root!.version + 1 };
    const puts = [
      await newStoreRootRow(deps, as),
      await wrapByKms(kms, { ...previous, version: 1, wrappingKey: turn.oldKmsKey, ownKey }, plain),
    ];
    const [outcome] = await store.commit([{ puts }]);
    hierarchy.forgetBucketKey(current.app, 0);
    if (outcome === 'done') return;
  }
  throw contended();
}

/**
 * Everything that the old store root wraps is wrapped by the new one, unchanged. Gives the apps
 * whose root does not authenticate: they are passed over, so that they delay nobody else.
 */
async function rewrapUnderStoreRoot({ store, hierarchy }: TurnDeps): Promise<Set<AppId>> {
  const { current, previous } = storeSlot();
  const damaged = new Set<AppId>();
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const root = await hierarchy.storeRoot();
    const old: VaultRow[] = [];
    const look = (row: VaultRow) => {
      if (row.wrappingKey !== root.id && !damaged.has(row.app)) old.push(row);
    };
    for await (const row of store.scan(rowKinds.appRoot)) look(row);
    for await (const row of store.scan(rowKinds.accessKey, current.app)) look(row);
    if (old.length === 0) return damaged;
    const [row] = await store.read([previous]);
    const opened = row && (await hierarchy.openKeyRow(row));
    if (opened === undefined || opened === 'erased') {
      throw new LetheError('VAULT_TAMPERED', 'rows of the vault name a root that is not there');
    }
    const puts = old.flatMap((one) => {
      const put = rewrapped(one, opened.wrapping, root);
      if (put === undefined) damaged.add(one.app);
      return put ?? [];
    });
    const guard = { key: current, ownKey: root.id };
    await store.commit(puts.map((put) => ({ guard, puts: [put] })));
  }
  throw contended();
}

function rewrapped(row: VaultRow, from: WrappingKey, to: WrappingKey): VaultRow | undefined {
  try {
    return rewrapRow(row, from, to);
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return undefined;
    throw error;
  }
}

async function turnApps(deps: TurnDeps, damaged: ReadonlySet<AppId>, options: TurnOptions) {
  const dirty = new Map<AppId, number[]>();
  for (const { app, bucket } of await deps.store.dirtyBuckets()) {
    dirty.set(app, [...(dirty.get(app) ?? []), bucket]);
  }
  // An app whose turn was interrupted has a predecessor of its root, whatever is marked.
  for await (const row of deps.store.scan(rowKinds.appRootPrevious)) {
    if (!dirty.has(row.app)) dirty.set(row.app, []);
  }
  const failedApps: AppId[] = [...damaged];
  let [buckets, rows] = [0, 0];
  for (const [id, marked] of dirty) {
    if (damaged.has(id)) continue;
    try {
      const app = await deps.apps.find(id);
      // An app that was erased has nothing left that could be wrapped anew.
      if (app === undefined) continue;
      const done = await turnApp(deps, app, marked);
      buckets += done.buckets;
      rows += done.rows;
      options.onProgress?.(`app ${id}: ${done.buckets} buckets, ${done.rows} rows`);
    } catch {
      failedApps.push(id);
    }
  }
  return { failedApps, buckets, rows };
}

/**
 * No row names a retired key any more: predecessors go, and every holder drops them. Those of apps
 * that failed stay, under the new root, for the next turn.
 */
async function retire(
  deps: TurnDeps,
  of: { turn: Turn; failedApps: readonly AppId[] },
): Promise<void> {
  const { store, hierarchy } = deps;
  await keepPredecessors(deps, of.failedApps);
  const kinds: readonly RowKind[] = [
    rowKinds.bucketKeyPrevious,
    rowKinds.appRootPrevious,
    rowKinds.storeRootPrevious,
  ];
  const retired: { app: AppId; kind: RowKind; id: KeyId }[] = [];
  for (const kind of kinds) {
    const rows: VaultRow[] = [];
    for await (const row of store.scan(kind)) {
      if (!of.failedApps.includes(row.app)) rows.push(row);
    }
    for (const { app, ownKey } of rows) retired.push({ app, kind, id: ownKey! });
    await store.commit(rows.map((row) => ({ removals: [row] })));
  }
  await store.scrub();
  hierarchy.forgetBucketKey(storeSlot().current.app, 0);
  await enterLoss(deps, retired, of.turn.id as ErasureId);
  await deps.lossFeed.pass((await deps.lossFeed.head()).number);
}

async function keepPredecessors(deps: TurnDeps, apps: readonly AppId[]): Promise<void> {
  const { store, hierarchy } = deps;
  for (const app of apps) {
    const [row] = await store.read([appSlot(app).previous]);
    const root = await hierarchy.storeRoot();
    if (row === undefined || row.wrappingKey === root.id) continue;
    const put = rewrapped(row, await hierarchy.openerOf(row), root);
    if (put !== undefined) await store.commit([{ puts: [put] }]);
  }
}
