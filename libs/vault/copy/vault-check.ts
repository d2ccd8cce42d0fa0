/**
 * Looks at every row of the vault as an attacker with the disk would leave it: rows that do not
 * authenticate, and rings of people or groups whose entry is gone.
 */
import type { AppId } from '../../base/ids.ts';
import { isLetheError } from '../../base/lethe-error.ts';
import type { RingRef } from '../../keyring/ring.ts';
import { directoryRow } from '../directory/directory-table.ts';
import type { App } from '../keys/app-registry.ts';
import type { KeyHierarchy } from '../keys/key-hierarchy.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { ringRow } from '../rings/vault-rings.ts';
import { APP_KINDS, STORE_KINDS, STORE_ROOT } from '../rows/key-slots.ts';
import {
  BUCKETED_KINDS,
  type RowKey,
  type RowKind,
  rowKinds,
  rowStates,
  type VaultRow,
  type VaultStore,
} from '../rows/vault-store.ts';
import { openRow } from '../rows/wrapped-row.ts';

/** What was found. */
export interface VaultFindings {
  rows: number;
  /** Rows that do not authenticate: damaged, or made by nobody who may. */
  tampered: number;
  /** Owner rings that live without the entry of their person or group. */
  missing: number;
  /** The first of either, by their names. */
  readonly named: Pick<RowKey, 'app' | 'kind' | 'id'>[];
}

const NAMED_MAX = 1_000;

/**
 * Checks the rows of the store itself and of all living apps, keys and what lies under them. A
 * fault that `original` has too is not counted.
 */
export async function checkVault(
  deps: Pick<VaultContext, 'store' | 'hierarchy' | 'apps'>,
  original?: Pick<VaultStore, 'read'>,
): Promise<VaultFindings> {
  const found: VaultFindings = { rows: 0, tampered: 0, missing: 0, named: [] };
  for await (const row of checkedRows(deps)) {
    found.rows += 1;
    if ((await firstLook(deps, row)) === undefined) continue;
    const fault = await faultNow(deps, row);
    if (fault === undefined || (await isSame(original, row))) continue;
    found[fault] += 1;
    const { app, kind, id } = row;
    if (found.named.length < NAMED_MAX) found.named.push({ app, kind, id });
  }
  return found;
}

const KINDS_OF_APP: readonly RowKind[] = [
  rowKinds.appRoot,
  rowKinds.appRootPrevious,
  ...APP_KINDS,
  rowKinds.bucketKeyPrevious,
  ...BUCKETED_KINDS,
];

async function* checkedRows({ store, hierarchy }: Pick<VaultContext, 'store' | 'hierarchy'>) {
  // Without it there is nothing to check.
  await hierarchy.storeRoot();
  for (const kind of STORE_KINDS) yield* store.scan(kind, STORE_ROOT.app);
  const { living } = await findApps(store);
  for (const app of living) {
    for (const kind of KINDS_OF_APP) yield* store.scan(kind, app);
  }
}

/** The apps that a vault has a root or a record of, also those that do not open. */
async function findApps(store: Pick<VaultStore, 'scan'>) {
  const erased = new Set<AppId>();
  const living = new Set<AppId>();
  for await (const { app, state } of store.scan(rowKinds.appRoot)) {
    (state === rowStates.erased ? erased : living).add(app);
  }
  for await (const { app } of store.scan(rowKinds.appRecord)) if (!erased.has(app)) living.add(app);
  return { erased, living };
}

async function isSame(original: Pick<VaultStore, 'read'> | undefined, row: VaultRow) {
  const [own] = (await original?.read([row])) ?? [];
  return own?.version === row.version && own.wrapped.equals(row.wrapped);
}

type Fault = 'tampered' | 'missing' | undefined;
type Deps = Parameters<typeof checkVault>[0];

async function faultOf({ store, hierarchy, apps }: Deps, row: VaultRow): Promise<Fault> {
  if (!(await isAuthentic(hierarchy, row))) return 'tampered';
  if (row.kind !== rowKinds.ownerRing) return undefined;
  try {
    const app = await apps.find(row.app);
    return app !== undefined && (await lacksEntry(store, app, row)) ? 'missing' : undefined;
  } catch (error) {
    // Where its entries lie nobody knows then; what does not open of the app is named itself.
    if (isLetheError(error, 'VAULT_TAMPERED')) return undefined;
    throw error;
  }
}

/** A row that was wrapped anew since it was read may name a key that is gone. */
async function firstLook(deps: Deps, row: VaultRow): Promise<Fault> {
  try {
    return await faultOf(deps, row);
  } catch (error) {
    if (isLetheError(error, 'CONTENDED')) return 'tampered';
    throw error;
  }
}

/** Writers go on meanwhile: what they removed or wrapped anew since it was read is no fault. */
async function faultNow(deps: Deps, row: VaultRow): Promise<Fault> {
  deps.hierarchy.forgetBucketKey(row.app, row.bucket);
  const [now] = await deps.store.read([row]);
  return now && faultOf(deps, now);
}

async function isAuthentic(hierarchy: KeyHierarchy, row: VaultRow): Promise<boolean> {
  try {
    const plain = openRow(row, await hierarchy.openerOf(row));
    if (plain === 'erased') return true;
    // A row that holds a key says its id in clear too.
    const isItsOwn = row.ownKey === null || plain.toString('hex', 0, 16) === row.ownKey;
    plain.fill(0);
    return isItsOwn;
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return false;
    throw error;
  }
}

async function lacksEntry(store: VaultStore, app: App, row: VaultRow): Promise<boolean> {
  if (row.state === rowStates.erased || row.id === app.id) return false;
  const entries = await store.versions([
    directoryRow(app, rowKinds.subject, row.id),
    directoryRow(app, rowKinds.conversation, row.id),
  ]);
  return entries.every((entry) => entry === undefined);
}

/** How many of some rings there are, by what became of them. */
export interface RingFindings {
  live: number;
  fenced: number;
  /** Of apps that were erased. */
  ofErasedApps: number;
  /**
   * Neither a ring nor a fence, or of an app that does not open: nothing that was sealed under it
   * can be told from a forgery.
   */
  missing: number;
}

/** Looks for the rows of rings; opens none. */
export async function checkRings(
  { store, apps }: Pick<VaultContext, 'store' | 'apps'>,
  refs: readonly RingRef[],
): Promise<RingFindings> {
  const buckets = new Map((await apps.list()).map((app) => [app.id, app.buckets]));
  const { erased } = await findApps(store);
  const found = refs.filter((ref) => buckets.has(ref.app));
  const rows = await store.versions(found.map((ref) => ringRow(ref, buckets.get(ref.app)!)));
  const fenced = rows.filter((row) => row?.state === rowStates.erased).length;
  const live = rows.filter((row) => row !== undefined).length - fenced;
  const ofErasedApps = refs.filter((ref) => erased.has(ref.app)).length;
  return { live, fenced, ofErasedApps, missing: refs.length - live - fenced - ofErasedApps };
}
