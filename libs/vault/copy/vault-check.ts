/**
 * Looks at every row of the vault as an attacker with the disk would leave it: rows that do not
 * authenticate, and rings of people or groups whose entry is gone.
 */
import { isLetheError } from '../../base/lethe-error.ts';
import type { RingRef } from '../../keyring/ring.ts';
import { directoryRow } from '../directory/directory-table.ts';
import type { App } from '../keys/app-registry.ts';
import type { KeyHierarchy } from '../keys/key-hierarchy.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { ringRow } from '../rings/vault-rings.ts';
import {
  BUCKETED_KINDS,
  type RowKey,
  rowKinds,
  rowStates,
  type VaultRow,
  type VaultStore,
} from '../rows/vault-store.ts';
import { openRow } from '../rows/wrapped-row.ts';

/** What was found. */
export interface VaultFindings {
  rows: number;
  /** Rows that do not authenticate. */
  tampered: number;
  /** Owner rings that live without the entry of their person or group. */
  missing: number;
  /** The first of either, by their names. */
  readonly named: Pick<RowKey, 'app' | 'kind' | 'id'>[];
}

const NAMED_MAX = 1_000;

/** Checks the rows of all living apps. A fault that `original` has too is not counted. */
export async function checkVault(
  deps: Pick<VaultContext, 'store' | 'hierarchy' | 'apps'>,
  original?: Pick<VaultStore, 'read'>,
): Promise<VaultFindings> {
  const found: VaultFindings = { rows: 0, tampered: 0, missing: 0, named: [] };
  for (const app of await deps.apps.list()) {
    for (const kind of BUCKETED_KINDS) {
      for await (const row of deps.store.scan(kind, app.id)) {
        found.rows += 1;
        if ((await firstLook(deps, app, row)) === undefined) continue;
        const fault = await faultNow(deps, app, row);
        if (fault === undefined || (await isSame(original, row))) continue;
        found[fault] += 1;
        const { id } = row;
        if (found.named.length < NAMED_MAX) found.named.push({ app: app.id, kind, id });
      }
    }
  }
  return found;
}

async function isSame(original: Pick<VaultStore, 'read'> | undefined, row: VaultRow) {
  const [own] = (await original?.read([row])) ?? [];
  return own?.version === row.version && own.wrapped.equals(row.wrapped);
}

type Fault = 'tampered' | 'missing' | undefined;

async function faultOf(
  { store, hierarchy }: { store: VaultStore; hierarchy: KeyHierarchy },
  app: App,
  row: VaultRow,
): Promise<Fault> {
  if (!(await isAuthentic(hierarchy, row))) return 'tampered';
  return (await lacksEntry(store, app, row)) ? 'missing' : undefined;
}

/** A row that was wrapped anew since it was read may name a key that is gone. */
async function firstLook(...of: Parameters<typeof faultOf>): Promise<Fault> {
  try {
    return await faultOf(...of);
  } catch (error) {
    if (isLetheError(error, 'CONTENDED')) return 'tampered';
    throw error;
  }
}

/** Writers go on meanwhile: what they removed or wrapped anew since it was read is no fault. */
async function faultNow(
  deps: Parameters<typeof faultOf>[0],
  app: App,
  row: VaultRow,
): Promise<Fault> {
  deps.hierarchy.forgetBucketKey(app.id, row.bucket);
  const [now] = await deps.store.read([row]);
  return now && faultOf(deps, app, now);
}

async function isAuthentic(hierarchy: KeyHierarchy, row: VaultRow): Promise<boolean> {
  try {
    openRow(row, await hierarchy.openerOf(row));
    return true;
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return false;
    throw error;
  }
}

async function lacksEntry(store: VaultStore, app: App, row: VaultRow): Promise<boolean> {
  if (row.kind !== rowKinds.ownerRing || row.state === rowStates.erased || row.id === app.id) {
    return false;
  }
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
  /** Neither a ring nor a fence: nothing that was sealed under it can be told from a forgery. */
  missing: number;
}

/** Looks for the rows of rings; opens none. */
export async function checkRings(
  { store, apps }: Pick<VaultContext, 'store' | 'apps'>,
  refs: readonly RingRef[],
): Promise<RingFindings> {
  const buckets = new Map((await apps.list()).map((app) => [app.id, app.buckets]));
  const living = refs.filter((ref) => buckets.has(ref.app));
  const rows = await store.versions(living.map((ref) => ringRow(ref, buckets.get(ref.app)!)));
  const missing = rows.filter((row) => row === undefined).length;
  const fenced = rows.filter((row) => row?.state === rowStates.erased).length;
  const live = living.length - missing - fenced;
  return { live, fenced, ofErasedApps: refs.length - living.length, missing };
}
