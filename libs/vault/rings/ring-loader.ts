/** Loads rings from the vault's rows, many at once. */
import type { AppId } from '../../base/ids.ts';
import type { RingOutcome } from '../../keyring/keyring.ts';
import type { Ring, RingRef } from '../../keyring/ring.ts';
import type { WrappingKey } from '../../keyring/wrapping-key.ts';
import { enterOwed } from '../feed/owed-entries.ts';
import type { AppRegistry } from '../keys/app-registry.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { type RowKey, rowKeyToText, type VaultRow } from '../rows/vault-store.ts';
import { loadSegments, openRing, ringRow } from './vault-rings.ts';

/** A ring with the row it lies in. */
export interface WantedRing {
  readonly ref: RingRef;
  readonly key: RowKey;
  readonly text: string;
}

type Deps = Pick<VaultContext, 'store' | 'hierarchy' | 'randomness' | 'lossFeed'>;

/** Where rings lie; undefined for an app that does not exist. */
export async function wantedRings(
  apps: AppRegistry,
  refs: readonly RingRef[],
): Promise<(WantedRing | undefined)[]> {
  const buckets = new Map<AppId, number | undefined>();
  for (const { app } of refs) {
    if (!buckets.has(app)) buckets.set(app, (await apps.find(app))?.buckets);
  }
  return refs.map((ref) => {
    const count = buckets.get(ref.app);
    if (count === undefined) return undefined;
    const key = ringRow(ref, count);
    return { ref, key, text: rowKeyToText(key) };
  });
}

/** Reads and unwraps rings; one outcome for each in their order. */
export async function readRings(deps: Deps, wanted: readonly WantedRing[]): Promise<RingOutcome[]> {
  const rows = await deps.store.read(wanted.map((one) => one.key));
  await enterOwed(deps, rows);
  const keys = await bucketKeysOf(deps, wanted, rows);
  const outcomes: RingOutcome[] = [];
  for (const [i, one] of wanted.entries()) {
    const row = rows[i];
    if (row === undefined) outcomes.push('absent');
    else outcomes.push(await readRing(deps, { ...one, row }, keys.get(one.ref.app)));
  }
  return outcomes;
}

/** The keys of all buckets that rows lie in, by app; none for an app that was erased. */
async function bucketKeysOf(
  { hierarchy }: Deps,
  wanted: readonly WantedRing[],
  rows: readonly (VaultRow | undefined)[],
): Promise<Map<AppId, Map<number, WrappingKey>>> {
  const buckets = new Map<AppId, number[]>();
  for (const [i, { ref, key }] of wanted.entries()) {
    if (!buckets.has(ref.app)) buckets.set(ref.app, []);
    if (rows[i] !== undefined) buckets.get(ref.app)!.push(key.bucket);
  }
  const keys = new Map<AppId, Map<number, WrappingKey>>();
  for (const [app, numbers] of buckets) {
    if ((await hierarchy.appRoot(app)) === undefined) continue;
    keys.set(app, await hierarchy.bucketKeys(app, numbers));
  }
  return keys;
}

async function readRing(
  { hierarchy }: Deps,
  one: WantedRing & { row: VaultRow },
  keys: Map<number, WrappingKey> | undefined,
): Promise<RingOutcome> {
  if (keys === undefined) return 'erased';
  const current = keys.get(one.key.bucket)!;
  const isCurrent = current.id === one.row.wrappingKey;
  return openRing(one, isCurrent ? current : await hierarchy.openerOf(one.row));
}

/**
 * Loads the parts of a large ring that are asked for. False: the ring's row has changed since, and
 * with it its parts. Throws SEGMENT_MISSING, VAULT_TAMPERED.
 */
export async function completeRing(
  { store, randomness }: Deps,
  ring: Ring,
  wanted: WantedRing,
): Promise<boolean> {
  const entries = ring.missingSegments(wanted.ref.things);
  if (entries.length === 0) return true;
  try {
    ring.installSegments(await loadSegments(store, ring.ref, { entries, randomness }));
    return true;
  } catch (error) {
    const [row] = await store.versions([wanted.key]);
    if (row === undefined || row.version > ring.version) return false;
    throw error;
  }
}
