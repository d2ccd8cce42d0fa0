/**
 * The turn of an epoch (Reardon et al. 2013). A new KMS key, a new store root, and new keys for
 * every bucket that lost something: old copies of the vault open nothing once the old KMS key is
 * gone.
 *
 * Resumable at every step, beside live reads and writes. Every write is conditional on the version
 * that was read and on the key that its parent holds now.
 */

import { type AppId, idToBucket, type KeyId } from '../../base/ids.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import { randomId } from '../../base/random.ts';
import { again, contended, retryContended } from '../../base/retry.ts';
import { secretConcat } from '../../base/secret-bytes.ts';
import { newStoreRootRow, wrapByKms } from '../keys/key-rows.ts';
import { appRecordRow, STORE_KINDS, storeSlot } from '../rows/key-slots.ts';
import { rowKinds, type VaultRow, type VaultStore } from '../rows/vault-store.ts';
import { rewrapped } from '../rows/wrapped-row.ts';
import { opensNow, turnApp } from './app-turn.ts';
import { DamagedRows } from './damaged-rows.ts';
import { keysWaitedFor } from './epoch-t1.ts';
import { keptRow } from './kept-row.ts';
import { keysOfOwnCopies } from './keys-of-copies.ts';
import { originTurn, withEnded } from './origin-turn.ts';
import { assertRightKms } from './right-kms.ts';
import { retire } from './turn-retire.ts';
import { type LostRing, type TurnContext, type TurnOptions, TurnRun } from './turn-run.ts';
import type { Turn } from './turn-store.ts';

const ALIVE_INTERVAL_MS = 2_000;
const RUNNER_SILENT_MS = 10_000;

/**
 * Runs a turn to its end, or goes on with the one that was interrupted. Throws CONTENDED while
 * another process runs one, and ROOT_KMS_DENIED: it is not the KMS of this store.
 */
export async function runTurn(deps: TurnContext, options: TurnOptions): Promise<Turn> {
  const run = new TurnRun(deps, options, await beginTurn(deps, options.nowMs()));
  const alive = setInterval(() => void run.stillMine().catch(() => undefined), ALIVE_INTERVAL_MS);
  try {
    return await runSteps(deps, options, run);
  } finally {
    clearInterval(alive);
  }
}

async function runSteps(deps: TurnContext, options: TurnOptions, run: TurnRun): Promise<Turn> {
  deps.hierarchy.forgetCurrent();
  if (run.turn.step !== 'done') await assertRightKms(deps.kms, run.turn.newKmsKey);
  // Of a store that was restored: the key that is replaced is the original's, and stays.
  const isOriginals = run.turn.original !== undefined;
  if (run.turn.step === 'begun') {
    if (!isOriginals) await endStrayKeys(deps, run);
    await turnStoreRoot(deps, run.turn);
    await run.advance('apps');
  }
  if (run.turn.step === 'apps') {
    deps.hierarchy.forgetCurrent();
    const done = await turnApps(deps, run);
    const { damaged, ...turned } = done;
    await retire(deps, { run, failedApps: done.failedApps });
    await run.advance('retired', { ...turned, damaged: damaged.list });
  }
  if (run.turn.step === 'retired') {
    await options.testBackup?.();
    await run.advance('tested');
  }
  if (run.turn.step === 'tested') {
    if (!isOriginals) await deps.kms.destroyKey(run.turn.oldKmsKey);
    const { oldKmsKey, newKmsKey } = run.turn;
    const isGone = !isOriginals && (await deps.kms.describeKey(oldKmsKey)) === 'gone';
    const isT1 = isGone && (await keysOfOwnCopies(deps.kms, newKmsKey)).length === 0;
    await assertRightKms(deps.kms, newKmsKey);
    await run.advance('done', { t1AtMs: isT1 ? options.nowMs() : null });
  }
  return run.turn;
}

/** What a restored vault becomes. */
export interface OwnStore {
  readonly id: string;
  readonly nowMs: () => number;
  /** Is told of the new key before anything is wrapped under it. */
  onKeyMade(key: KeyId): void;
  onProgress(text: string): void;
}

/**
 * Makes a restored vault, which nobody else has open, a store of its own, named by `id`: by a turn
 * of everything. No row of it opens beside the original then, nor one of the original here. The KMS
 * key of the original stays: the original may run, and only `endOriginals` ends it.
 */
export async function becomeOwnStore(
  deps: TurnContext,
  { id, nowMs, onKeyMade, onProgress }: OwnStore,
): Promise<Turn> {
  const { store, kms, turns, randomness } = deps;
  const [root] = await store.read([storeSlot().current]);
  const oldKmsKey = root!.wrappingKey;
  const original = { store: (await kms.storeOf(oldKmsKey)) ?? null, isEnding: false };
  const newKmsKey = await kms.createKey(id, { copiedFrom: original.store ?? undefined });
  onKeyMade(newKmsKey);
  const last = await turns.read();
  const origin = { last, oldKmsKey, newKmsKey, original, nowMs: nowMs() };
  const turn: Turn = {
    ...originTurn(deps, origin),
    number: (last?.number ?? 0) + 1,
    step: 'begun',
    runner: randomId(randomness),
    // Whoever failed before is turned now, like all others.
    failedApps: [],
  };
  if (!(await turns.write(turn, last))) throw contended();
  const options = { nowMs, onProgress, isWhole: true };
  const run = new TurnRun(deps, options, turn);
  return runSteps(deps, options, run);
}

async function beginTurn(deps: TurnContext, nowMs: number) {
  const { turns, store, kms, randomness, lossFeed } = deps;
  const last = await turns.read();
  const runner: string = randomId(randomness);
  if (last !== undefined && last.step !== 'done') {
    if (nowMs - last.aliveAtMs < RUNNER_SILENT_MS && last.runner !== '') {
      throw new LetheError(
        'CONTENDED',
        'another process turns the epoch: try again in some seconds',
        {
          retryable: true,
        },
      );
    }
    const taken = { ...last, runner, aliveAtMs: nowMs };
    if (await turns.write(taken, last)) return taken;
    throw contended();
  }
  const [root] = await store.read([storeSlot().current]);
  const oldKmsKey = root!.wrappingKey;
  await assertRightKms(kms, oldKmsKey);
  const owner = await ownerOf({ kms, lossFeed }, oldKmsKey);
  const newKmsKey = await kms.createKey(owner, { insteadOf: oldKmsKey });
  const turn: Turn = {
    id: randomId(randomness),
    number: (last?.number ?? 0) + 1,
    step: 'begun',
    oldKmsKey,
    newKmsKey,
    startedAtMs: nowMs,
    runner,
    aliveAtMs: nowMs,
    t1AtMs: null,
    failedApps: [],
    waiting: last === undefined ? [] : keysWaitedFor(last),
    buckets: 0,
    rows: 0,
  };
  if (await turns.write(turn, last)) return turn;
  // Another process began one: its KMS key counts, ours was never used.
  await kms.destroyKey(turn.newKmsKey);
  throw contended();
}

/**
 * Ends keys of this store that nothing names: who made them ended before they were used, or was
 * given up. Older copies of the vault may lie under them, so T1 waits for them too.
 */
async function endStrayKeys({ kms }: TurnContext, run: TurnRun): Promise<void> {
  const { oldKmsKey, newKmsKey, waiting = [] } = run.turn;
  const known = [oldKmsKey, newKmsKey, ...waiting.map((one) => one.oldKmsKey)];
  // As the KMS says: what the vault says of its own id lies in clear.
  const store = await kms.storeOf(oldKmsKey);
  if (store === undefined) return;
  const strays = (await kms.keysOf(store)).filter((key) => !known.includes(key));
  if (strays.length === 0) return;
  // Noted first: who goes on with this turn must not forget that they were there.
  await run.advance('begun', withEnded(run.turn, strays));
  for (const key of strays) await kms.destroyKey(key);
}

/**
 * The store that a key is of, which is this one: a key that another store uses is not this one's to
 * end. Throws CONFIGURATION_INVALID.
 */
export async function ownerOf(
  { kms, lossFeed }: Pick<TurnContext, 'kms' | 'lossFeed'>,
  key: KeyId,
): Promise<string> {
  const { incarnation } = await lossFeed.head();
  const owner = await kms.storeOf(key);
  if (owner === undefined || owner === incarnation) return incarnation;
  throw new LetheError(
    'CONFIGURATION_INVALID',
    `LETHE_KMS: the key ${key} was made for another store: this one was copied from that, or ` +
      'the id in its feed was changed from outside. A turn would end both: restore a backup',
  );
}

/** The new root takes the place of the old one, which stays beside it under the old KMS key. */
async function turnStoreRoot(deps: TurnContext, turn: Turn): Promise<void> {
  const { store, kms, hierarchy } = deps;
  const { current, previous } = storeSlot();
  return retryContended(async () => {
    const [root] = await store.read([current]);
    hierarchy.forgetCurrent();
    if (root!.wrappingKey === turn.newKmsKey) return;
    const opened = await hierarchy.openKeyRow(root!);
    if (opened === 'erased') throw new LetheError('VAULT_TAMPERED', 'the store root is a fence');
    // Every turn ends without one: nobody made what lies there, and it keeps the place.
    const [leftover] = await store.read([previous]);
    if (leftover !== undefined) await store.commit([{ removals: [{ ...leftover, ownKey: null }] }]);
    const ownKey = root!.ownKey!;
    const plain = secretConcat([Buffer.from(ownKey, 'hex'), opened.bytes]);
    const as = { kmsKey: turn.newKmsKey, version: root!.version + 1 };
    const puts = [
      await newStoreRootRow(deps, as),
      await wrapByKms(kms, { ...previous, version: 1, wrappingKey: turn.oldKmsKey, ownKey }, plain),
    ];
    const [outcome] = await store.commit([{ puts }]);
    hierarchy.forgetBucketKey(current.app, 0);
    if (outcome === 'done') return;
    return again;
  });
}

/**
 * What the old store root wraps is wrapped by the new one, unchanged, but for the apps whose root
 * is another one now. Gives those whose root does not authenticate: they delay nobody else.
 */
async function rewrapUnderStoreRoot(
  { store, hierarchy }: TurnContext,
  run: TurnRun,
  { isSpared, damaged }: { isSpared: (app: AppId) => boolean; damaged: DamagedRows },
): Promise<Set<AppId>> {
  const { current, previous } = storeSlot();
  const failed = new Set<AppId>();
  let old: VaultRow[] = [];
  const rewrapping = retryContended(async () => {
    hierarchy.forgetCurrent();
    const root = await hierarchy.storeRoot();
    old = [];
    const look = (row: VaultRow) => {
      if (row.wrappingKey !== root.id && !damaged.has(row)) old.push(row);
    };
    for await (const row of store.scan(rowKinds.appRoot)) if (!isSpared(row.app)) look(row);
    for (const kind of STORE_KINDS) {
      for await (const row of store.scan(kind, current.app)) look(row);
    }
    if (old.length === 0) return failed;
    const [row] = await store.read([previous]);
    const opened = row && (await hierarchy.openKeyRow(row));
    if (opened === undefined || opened === 'erased') {
      throw new LetheError('VAULT_TAMPERED', 'rows of the vault name a root that is not there');
    }
    const puts: VaultRow[] = [];
    const thereAgain: VaultRow[] = [];
    for (const one of old) {
      const put = rewrapped(one, opened.wrapping, root);
      if (put === undefined) {
        if (damaged.note(one) && (await isApp(store, one.app))) failed.add(one.app);
      } else if ((await run.judge(one, opened.wrapping)) === 'carry') {
        puts.push(put);
      } else {
        thereAgain.push(one);
      }
    }
    const guard = { key: current, ownKey: root.id };
    await store.commit(puts.map((put) => ({ guard, puts: [put] })));
    for (const one of thereAgain) {
      await run.takeAgain(one.app).catch((error) => {
        // Its root goes with the one that wraps it.
        if (!isLetheError(error, 'VAULT_TAMPERED')) throw error;
        if (damaged.note(one)) failed.add(one.app);
      });
    }
    return again;
  });
  return rewrapping.catch((error) => {
    const [kept] = old;
    if (kept === undefined || !isLetheError(error, 'CONTENDED')) throw error;
    throw keptRow(kept);
  });
}

/** Has it a record, as every app has? A root alone may have been made up. */
async function isApp(store: VaultStore, app: AppId): Promise<boolean> {
  const [record] = await store.versions([appRecordRow(app)]);
  return record !== undefined;
}

/** The buckets that get new keys, by their apps. */
async function findDirty(
  { store, apps }: TurnContext,
  { lost, isWhole }: { readonly lost: readonly LostRing[]; readonly isWhole: boolean },
): Promise<Map<AppId, number[]>> {
  const dirty = new Map<AppId, Set<number>>();
  const bucketsOf = (app: AppId) => {
    const known = dirty.get(app) ?? new Set();
    dirty.set(app, known);
    return known;
  };
  for (const { app, bucket } of await store.dirtyBuckets()) bucketsOf(app).add(bucket);
  if (isWhole) {
    for await (const { app } of store.scan(rowKinds.appRoot)) bucketsOf(app);
    for await (const { app, bucket } of store.scan(rowKinds.bucketKey)) bucketsOf(app).add(bucket);
  }
  for (const { app: id, id: ring } of lost) {
    try {
      const app = await apps.find(id);
      if (app !== undefined) bucketsOf(id).add(idToBucket(ring) % app.buckets);
    } catch (error) {
      if (!isLetheError(error, 'VAULT_TAMPERED')) throw error;
      // Its turn fails, and no other's.
      bucketsOf(id);
    }
  }
  return new Map([...dirty].map(([app, buckets]) => [app, [...buckets]]));
}

async function turnApps(deps: TurnContext, run: TurnRun) {
  const damaged = new DamagedRows();
  const { dirty, failedBefore } = await findAppsToTurn(deps, run);
  const isDirty = (app: AppId) => dirty.has(app);
  const failed = await rewrapUnderStoreRoot(deps, run, { isSpared: isDirty, damaged });
  const failedApps: AppId[] = [...failedBefore, ...failed];
  const turned = new Set<AppId>();
  let [buckets, rows] = [0, 0];
  for (const [id, marked] of dirty) {
    try {
      await run.stillMine();
      const app = await deps.apps.find(id);
      // An app that was erased has nothing left that could be wrapped anew.
      if (app === undefined) continue;
      const done = await turnApp(deps, app, { run, dirty: marked, damaged });
      turned.add(id);
      buckets += done.buckets;
      rows += done.rows;
      run.report(`app ${id}: ${done.buckets} buckets, ${done.rows} rows`);
    } catch (error) {
      await run.stillMine();
      run.report(`app ${id} failed: ${error instanceof Error ? error.message : 'unknown'}`);
      failedApps.push(id);
    }
  }
  // Whoever goes on with this turn could not tell them from apps that had nothing to turn.
  if (failedApps.length > 0) await run.advance('apps', { failedApps });
  // Erased apps, and those that failed before they got a new root. The root that an app had before
  // it was turned is never carried over, whoever writes it back.
  const isSpared = (app: AppId) => failed.has(app) || turned.has(app);
  for (const app of await rewrapUnderStoreRoot(deps, run, { isSpared, damaged })) {
    if (!failedApps.includes(app)) failedApps.push(app);
  }
  return { failedApps, buckets, rows, damaged };
}

/** The apps that get a new root, with their buckets that get new keys. */
async function findAppsToTurn(deps: TurnContext, run: TurnRun) {
  const { store, hierarchy } = deps;
  const { lost } = await run.taken();
  const dirty = await findDirty(deps, { lost, isWhole: run.isWhole });
  // An app whose turn was interrupted has a predecessor of its root, whatever is marked.
  const begun = new Map<AppId, VaultRow>();
  for await (const row of store.scan(rowKinds.appRootPrevious)) begun.set(row.app, row);
  for (const app of begun.keys()) if (!dirty.has(app)) dirty.set(app, []);
  const root = await hierarchy.storeRoot();
  const failedBefore: AppId[] = [];
  for await (const row of store.scan(rowKinds.appRoot)) {
    const { app } = row;
    const previous = begun.get(app);
    const isUnderWay = previous?.version === 1 && (await opensNow(deps, previous));
    if (row.wrappingKey !== root.id || isUnderWay || !(await opensNow(deps, row))) continue;
    // Before this run its root was wrapped anew, unchanged, or a root that it had failed to replace
    // was kept: copies from since then hold what this turn is to retire. It waits for the next.
    dirty.delete(app);
    if (run.turn.failedApps.includes(app)) failedBefore.push(app);
  }
  return { dirty, failedBefore };
}
