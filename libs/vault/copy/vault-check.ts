/**
 * Looks at every row of the vault as an attacker with the disk would leave it: rows that do not
 * authenticate, and rings of people or groups whose entry is gone.
 */
import { isLetheError } from '../../base/lethe-error.ts';
import { directoryRow } from '../directory/directory.ts';
import type { App, AppRegistry } from '../keys/app-registry.ts';
import type { KeyHierarchy } from '../keys/key-hierarchy.ts';
import {
  BUCKETED_KINDS,
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
}

/** Checks the rows of all living apps. */
export async function checkVault(deps: {
  store: VaultStore;
  hierarchy: KeyHierarchy;
  apps: AppRegistry;
}): Promise<VaultFindings> {
  const found: VaultFindings = { rows: 0, tampered: 0, missing: 0 };
  for (const app of await deps.apps.list()) {
    for (const kind of BUCKETED_KINDS) {
      for await (const row of deps.store.scan(kind, app.id)) {
        found.rows += 1;
        if ((await firstLook(deps, app, row)) === undefined) continue;
        const fault = await faultNow(deps, app, row);
        if (fault) found[fault] += 1;
      }
    }
  }
  return found;
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
  const at = { app: app.id, buckets: app.buckets };
  const entries = await store.versions([
    directoryRow(at, rowKinds.subject, row.id),
    directoryRow(at, rowKinds.conversation, row.id),
  ]);
  return entries.every((entry) => entry === undefined);
}
