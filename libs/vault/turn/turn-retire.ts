/** The end of a turn in the vault: predecessors go, once no row names them. */

import type { AppId, KeyId, LossId } from '../../base/ids.ts';
import { contended } from '../../base/retry.ts';
import { APP_KINDS, appSlot, PREVIOUS_KINDS, STORE_KINDS } from '../rows/key-slots.ts';
import { type RowKind, rowKinds, type VaultRow } from '../rows/vault-store.ts';
import { rewrapped } from '../rows/wrapped-row.ts';
import type { DamagedRows } from './damaged-rows.ts';
import type { TurnContext, TurnRun } from './turn-run.ts';

/**
 * Predecessors go once no row names them, and every holder drops them. Those of apps that failed
 * stay, under the new root, for the next turn.
 */
export async function retire(
  deps: TurnContext,
  turned: { run: TurnRun; failedApps: readonly AppId[]; damaged: DamagedRows },
): Promise<void> {
  const { store, hierarchy } = deps;
  const { run, failedApps, damaged } = turned;
  await keepPredecessors(deps, failedApps);
  const retired: { app: AppId; kind: RowKind; id: KeyId }[] = [];
  for (const kind of PREVIOUS_KINDS) {
    const rows: VaultRow[] = [];
    for await (const row of store.scan(kind)) {
      if (!failedApps.includes(row.app)) rows.push(row);
    }
    for (const row of rows) {
      await run.stillMine();
      if (await isNamed(deps, row, { failedApps, damaged })) throw contended();
      retired.push({ app: row.app, kind, id: row.ownKey! });
      await store.commit([{ removals: [row] }]);
    }
  }
  await store.scrub();
  hierarchy.forgetCurrent();
  await deps.lossFeed.enter(retired, run.turn.id as LossId);
  await deps.lease.sync();
  await deps.lossFeed.pass();
}

/** Is there a row that is still wrapped under the key that this predecessor holds? */
async function isNamed(
  { store, apps }: TurnContext,
  row: VaultRow,
  { failedApps, damaged }: { failedApps: readonly AppId[]; damaged: DamagedRows },
): Promise<boolean> {
  const names = (one: VaultRow) =>
    one.wrappingKey === row.ownKey && !failedApps.includes(one.app) && !damaged.has(one);
  if (row.kind === rowKinds.bucketKeyPrevious) {
    const app = await apps.find(row.app);
    if (app === undefined) return false;
    const at = { app: app.id, buckets: app.buckets, bucket: row.bucket };
    for await (const one of store.scanBucket(at)) if (names(one)) return true;
    return false;
  }
  const isStore = row.kind === rowKinds.storeRootPrevious;
  const kinds = isStore
    ? [rowKinds.appRoot, rowKinds.appRootPrevious]
    : [...APP_KINDS, rowKinds.bucketKeyPrevious];
  for (const kind of isStore ? STORE_KINDS : []) {
    for await (const one of store.scan(kind, row.app)) if (names(one)) return true;
  }
  for (const kind of kinds) {
    for await (const one of store.scan(kind, isStore ? undefined : row.app)) {
      if (names(one)) return true;
    }
  }
  return false;
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
