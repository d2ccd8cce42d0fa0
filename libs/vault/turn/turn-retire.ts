/** The end of a turn in the vault: predecessors go, once no row names them. */

import type { AppId, KeyId, LossId } from '../../base/ids.ts';
import { APP_KINDS, appSlot, PREVIOUS_KINDS, STORE_KINDS } from '../rows/key-slots.ts';
import { type RowKind, rowKinds, type VaultRow } from '../rows/vault-store.ts';
import { isWrappedUnder, rewrapped } from '../rows/wrapped-row.ts';
import { opensNow } from './app-turn.ts';
import { keptRow } from './kept-row.ts';
import type { TurnContext, TurnRun } from './turn-run.ts';

/**
 * Predecessors go once no row names them, and every holder drops them. Those of apps that failed
 * stay, under the new root, for the next turn.
 */
export async function retire(
  deps: TurnContext,
  turned: { run: TurnRun; failedApps: readonly AppId[] },
): Promise<void> {
  const { store, hierarchy } = deps;
  const { run, failedApps } = turned;
  await keepPredecessors(deps, failedApps);
  const retired: { app: AppId; kind: RowKind; id: KeyId }[] = [];
  for (const kind of PREVIOUS_KINDS) {
    const rows: VaultRow[] = [];
    for await (const row of store.scan(kind)) {
      if (!failedApps.includes(row.app)) rows.push(row);
    }
    for (const row of rows) {
      await run.stillMine();
      const namer = await findNamer(deps, row, turned);
      if (namer !== undefined) throw keptRow(namer);
      if (row.ownKey !== null) retired.push({ app: row.app, kind, id: row.ownKey });
      await store.commit([{ removals: [row] }]);
    }
  }
  await store.scrub();
  hierarchy.forgetCurrent();
  await deps.lossFeed.enter(retired, run.turn.id as LossId);
  await deps.lease.sync();
  await deps.lossFeed.pass();
}

/**
 * A row that is still wrapped under the key that this predecessor holds. One that only says so, or
 * that was taken before, loses nothing by its end.
 */
async function findNamer(
  deps: TurnContext,
  row: VaultRow,
  { run, failedApps }: { run: TurnRun; failedApps: readonly AppId[] },
): Promise<VaultRow | undefined> {
  if (!(await opensNow(deps, row))) return undefined;
  const opened = await deps.hierarchy.openKeyRow(row);
  if (opened === 'erased') return undefined;
  for await (const one of mayBeUnder(deps, row)) {
    if (one.wrappingKey !== row.ownKey || failedApps.includes(one.app)) continue;
    if (!isWrappedUnder(one, opened.wrapping)) continue;
    if ((await run.judge(one, opened.wrapping)) !== 'leave') return one;
  }
  return undefined;
}

/** The rows of the kinds that lie under the key of a predecessor. */
async function* mayBeUnder({ store, apps }: TurnContext, row: VaultRow): AsyncIterable<VaultRow> {
  if (row.kind === rowKinds.bucketKeyPrevious) {
    const app = await apps.find(row.app);
    if (app === undefined) return;
    yield* store.scanBucket({ app: app.id, buckets: app.buckets, bucket: row.bucket });
    return;
  }
  const isStore = row.kind === rowKinds.storeRootPrevious;
  const kinds = isStore
    ? [rowKinds.appRoot, rowKinds.appRootPrevious]
    : [...APP_KINDS, rowKinds.bucketKeyPrevious];
  for (const kind of isStore ? STORE_KINDS : []) yield* store.scan(kind, row.app);
  for (const kind of kinds) yield* store.scan(kind, isStore ? undefined : row.app);
}

async function keepPredecessors(deps: TurnContext, apps: readonly AppId[]): Promise<void> {
  const { store, hierarchy } = deps;
  for (const app of apps) {
    hierarchy.forgetCurrent();
    const [row] = await store.read([appSlot(app).previous]);
    const root = await hierarchy.storeRoot();
    if (row === undefined || row.wrappingKey === root.id) continue;
    const put = rewrapped(row, await hierarchy.openerOf(row), root);
    if (put !== undefined) await store.commit([{ puts: [put] }]);
  }
}
