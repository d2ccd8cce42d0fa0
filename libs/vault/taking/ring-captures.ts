/** What an attacker with the vault's disk would have of rings, taken down in memory. */
import type { SegmentId } from '../../base/ids.ts';
import type { RingRef } from '../../keyring/ring.ts';
import type { CapturedRings, RingCapture } from '../../keyring/ring-capture.ts';
import { wipeMaterial } from '../../keyring/ring-material.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { loadSegments, openRingRow, ringRow } from '../rings/vault-rings.ts';
import type { VaultRow } from '../rows/vault-store.ts';

/** A row, and the wrapped parts of a large ring that it has the keys of. */
interface Captured {
  readonly ref: RingRef;
  readonly row: VaultRow;
  readonly segments: ReadonlyMap<SegmentId, Buffer>;
}

/** Opens the power to capture rings. */
export function createRingCapture(deps: VaultContext): RingCapture {
  return { capture: (refs) => captureRings(deps, refs) };
}

/** Takes the rows, and the segments that they name, down as they are now. */
async function captureRings(deps: VaultContext, refs: readonly RingRef[]): Promise<CapturedRings> {
  const captured: Captured[] = [];
  for (const ref of refs) {
    const app = await deps.apps.find(ref.app);
    const [row] = app === undefined ? [] : await deps.store.read([ringRow(ref, app.buckets)]);
    if (row !== undefined) captured.push({ ref, row, segments: await segmentsOf(deps, ref, row) });
  }
  return {
    count: captured.length,
    segmentCount: captured.reduce((sum, one) => sum + one.segments.size, 0),
    async countOpening() {
      let opening = 0;
      for (const one of captured) if (await opens(deps, one)) opening += 1;
      return opening;
    },
  };
}

async function segmentsOf(
  deps: VaultContext,
  ref: RingRef,
  row: VaultRow,
): Promise<Map<SegmentId, Buffer>> {
  const material = openRingRow(row, await deps.hierarchy.openerOf(row));
  if (material === 'erased') return new Map();
  const ids = material.segments.map((entry) => entry.id);
  wipeMaterial(material);
  const wrapped = await deps.store.readSegments(ref.app, ids);
  return new Map(ids.flatMap((id, i) => (wrapped[i] === undefined ? [] : [[id, wrapped[i]]])));
}

/** With today's KMS and vault, and the segments as they were captured. */
async function opens(deps: VaultContext, { ref, row, segments }: Captured): Promise<boolean> {
  try {
    const material = openRingRow(row, await deps.hierarchy.openerOf(row));
    if (material === 'erased') return false;
    const readSegments = async (_: unknown, ids: readonly SegmentId[]) => {
      return ids.map((id) => segments.get(id));
    };
    const context = { entries: material.segments, randomness: deps.randomness };
    const loaded = await loadSegments({ ...deps.store, readSegments }, ref, context);
    for (const nodes of loaded.values()) nodes.fill(0);
    wipeMaterial(material);
    return true;
  } catch {
    return false;
  }
}
