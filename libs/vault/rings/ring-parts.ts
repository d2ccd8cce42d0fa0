/** Parts of a ring in plain: taken out, or looked for. Nothing is written here. */
import type { SegmentId } from '../../base/ids.ts';
import type { RingRef } from '../../keyring/ring.ts';
import {
  encodeRingMaterial,
  type MaterialChange,
  punctureMaterial,
  type RingMaterial,
  segmentsOf,
  type Taken,
  wipeMaterial,
} from '../../keyring/ring-material.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { loadSegments } from './vault-rings.ts';

type Deps = Pick<VaultContext, 'store' | 'randomness'>;

/** A ring in plain, and parts of it. */
interface RingParts {
  readonly material: RingMaterial;
  readonly taken: readonly Taken[];
}

/**
 * Are all of these parts gone from a ring? Its plain bytes are wiped. Throws SEGMENT_MISSING,
 * VAULT_TAMPERED.
 */
export async function isTakenFrom(deps: Deps, ref: RingRef, parts: RingParts): Promise<boolean> {
  try {
    const change = await takeParts(deps, ref, parts);
    const isSame = isSameMaterial(parts.material, change.material);
    for (const { nodes } of change.written) nodes.fill(0);
    wipeMaterial(change.material);
    return isSame;
  } finally {
    wipeMaterial(parts.material);
  }
}

/** Takes parts out of a ring in plain: what is to be written, and which segments go. */
export async function takeParts(
  deps: Deps,
  ref: RingRef,
  from: RingParts,
): Promise<MaterialChange> {
  let { material } = from;
  const written = new Map<SegmentId, MaterialChange['written'][number]>();
  const removed: SegmentId[] = [];
  for (const taken of from.taken) {
    const entries = segmentsOf(material, taken);
    const stored = entries.filter((entry) => !written.has(entry.id));
    const context = { entries: stored, randomness: deps.randomness };
    const fromStore = await loadSegments(deps.store, ref, context);
    const loaded = new Map(fromStore);
    for (const entry of entries) {
      const own = written.get(entry.id);
      if (own !== undefined) loaded.set(entry.id, own.nodes);
    }
    const change = punctureMaterial(material, taken, { loaded, randomness: deps.randomness });
    // What is left lies in other memory: these still have what was taken.
    for (const nodes of fromStore.values()) nodes.fill(0);
    if (material !== from.material && material.nodes !== change.material.nodes) {
      material.nodes.fill(0);
    }
    material = change.material;
    for (const id of change.removed) {
      written.get(id)?.nodes.fill(0);
      if (!written.delete(id)) removed.push(id);
    }
    for (const part of change.written) written.set(part.entry.id, part);
  }
  return { material, written: [...written.values()], removed };
}

/** Has nothing been taken by a change, because it had been taken before? */
function isSameMaterial(before: RingMaterial, after: RingMaterial): boolean {
  const [one, other] = [before, after].map(encodeRingMaterial) as [Buffer, Buffer];
  const isSame = one.equals(other);
  one.fill(0);
  other.fill(0);
  return isSame;
}
