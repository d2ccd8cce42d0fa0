/** Rings as vault rows: their keys, their wrapping, their segments. */
import { idToBucket, type KeyId, type PlaceId, type SegmentId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import type { Randomness } from '../../base/random.ts';
import { labels } from '../../codec/labels.ts';
import { Ring, type RingRef } from '../../keyring/ring.ts';
import {
  decodeRingMaterial,
  encodeRingMaterial,
  newRingMaterial,
  type RingMaterial,
  type SegmentKey,
} from '../../keyring/ring-material.ts';
import { WrappingKey } from '../../keyring/wrapping-key.ts';
import { ringKinds } from '../../sealing/tree-path.ts';
import {
  type RowKey,
  type RowKind,
  rowKeyToText,
  rowKinds,
  type VaultRow,
  type VaultStore,
} from '../rows/vault-store.ts';
import { openRow, wrapRow } from '../rows/wrapped-row.ts';

const RING_ROW_KINDS = {
  [ringKinds.app]: rowKinds.appRing,
  [ringKinds.owner]: rowKinds.ownerRing,
  [ringKinds.place]: rowKinds.placeRing,
} as const;

/** Kinds of row that are rings. */
export const RING_KINDS: readonly RowKind[] = Object.values(RING_ROW_KINDS);

/** The vault row of a ring; `buckets` is the app's fixed number of buckets. */
export function ringRow(ref: RingRef, buckets: number): RowKey {
  const bucket = idToBucket(ref.id as PlaceId) % buckets;
  return { app: ref.app, bucket, kind: RING_ROW_KINDS[ref.kind], id: ref.id };
}

/** The ring that lies in a row of one of `RING_KINDS`. */
export function ringRefOf({ app, kind, id }: RowKey): RingRef {
  const found = Object.entries(RING_ROW_KINDS).find(([, one]) => one === kind);
  return { app, kind: Number(found![0]) as RingRef['kind'], id };
}

/** The text form of a ring's row key, for maps. */
export function ringText({ app, kind, id }: RingRef): string {
  return rowKeyToText({ app, kind: RING_ROW_KINDS[kind], id });
}

/** A new whole ring with its first row; the ring must not be used before the row is durable. */
export function newRing(
  key: RowKey,
  made: { kind: RingRef['kind']; wrapping: WrappingKey; randomness: Randomness },
): { row: VaultRow; ring: Ring } {
  const { kind } = made;
  const material = newRingMaterial(kind, made.randomness);
  const plain = encodeRingMaterial(material);
  const row = wrapRow({ key }, plain, made.wrapping);
  plain.fill(0);
  return { row, ring: new Ring({ app: key.app, kind, id: key.id }, row.version, material) };
}

/** The ring in plain. Throws VAULT_TAMPERED, FORMAT_UNKNOWN. */
export function openRingRow(row: VaultRow, wrapping: WrappingKey): RingMaterial | 'erased' {
  const plain = openRow(row, wrapping);
  if (plain === 'erased') return 'erased';
  const material = decodeRingMaterial(plain);
  plain.fill(0);
  return material;
}

/** Segment associated data: label ‖ ring kind ‖ ring id ‖ segment id. */
function segmentAssociatedData(ref: RingRef, id: SegmentId): Buffer {
  return Buffer.concat([
    labels.segment,
    Buffer.from([ref.kind]),
    Buffer.from(ref.id, 'hex'),
    Buffer.from(id, 'hex'),
  ]);
}

/** A segment's nodes wrapped under its own key. */
export function wrapSegment(
  ref: RingRef,
  part: { entry: SegmentKey; nodes: Buffer },
  randomness: Randomness,
): { id: SegmentId; wrapped: Buffer } {
  const { entry } = part;
  const key = new WrappingKey(entry.id as string as KeyId, entry.key, randomness);
  return { id: entry.id, wrapped: key.wrap(part.nodes, segmentAssociatedData(ref, entry.id)) };
}

/** Loads segments' nodes. Throws SEGMENT_MISSING, VAULT_TAMPERED. */
export async function loadSegments(
  store: VaultStore,
  ref: RingRef,
  wanted: { entries: readonly SegmentKey[]; randomness: Randomness },
): Promise<Map<SegmentId, Buffer>> {
  const { entries, randomness } = wanted;
  const wrapped = await store.readSegments(
    ref.app,
    entries.map((entry) => entry.id),
  );
  const loaded = new Map<SegmentId, Buffer>();
  for (const [i, entry] of entries.entries()) {
    const bytes = wrapped[i];
    if (bytes === undefined) {
      throw new LetheError('SEGMENT_MISSING', `segment ${entry.id} of ring ${ref.id} is missing`);
    }
    const key = new WrappingKey(entry.id as string as KeyId, entry.key, randomness);
    const nodes = key.unwrap(bytes, segmentAssociatedData(ref, entry.id));
    if (nodes === undefined) {
      throw new LetheError('VAULT_TAMPERED', `segment ${entry.id} does not authenticate`);
    }
    loaded.set(entry.id, nodes);
  }
  return loaded;
}

/** The ring of its row, without the nodes of its segments; or that the row is a fence. */
export function openRing(
  { ref, row }: { ref: RingRef; row: VaultRow },
  wrapping: WrappingKey,
): Ring | 'erased' {
  const material = openRingRow(row, wrapping);
  const { app, kind, id } = ref;
  return material === 'erased' ? 'erased' : new Ring({ app, kind, id }, row.version, material);
}
