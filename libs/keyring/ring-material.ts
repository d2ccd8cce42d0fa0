/**
 * A ring's plain bytes, before they are wrapped:
 *
 *   format u8 ‖ kind u8 ‖ id key 32 (place rings) ‖ u32 node count ‖ nodes (depth u8 ‖ path 5 ‖
 *   seed 32, sorted) ‖ u32 segment count ‖ segments (first path 5 ‖ id 16 ‖ key 32)
 *
 * and in format 2, that of a held person of whose app days were cut:
 *
 *   ‖ u32 count ‖ kept app parts (class u8 ‖ first day u16 ‖ last day u16 ‖ id 16 ‖ key 32)
 *
 * A ring has either nodes in its row or segments, never both. Pure: nothing here reads or writes.
 */
import type { SegmentId } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import { type Randomness, randomId } from '../base/random.ts';
import { secretBytes, secretConcat, secretCopy } from '../base/secret-bytes.ts';
import { NODE_BYTES, puncture, wholeTree } from '../sealing/key-tree.ts';
import { PATH_BYTES, type RingKind, ringKinds, treeDepth } from '../sealing/tree-path.ts';

const FORMAT = 1;
const FORMAT_HELD = 2;
const KEPT_ENTRY_BYTES = 1 + 2 + 2 + 16 + 32;
const SEGMENT_ENTRY_BYTES = PATH_BYTES + 16 + 32;
export const ROW_NODE_BYTES_MAX = 49_152;
export const SEGMENT_BYTES_MAX = 65_536;

/** What it takes to read a stored part of a ring. */
export interface SegmentKey {
  readonly id: SegmentId;
  readonly key: Buffer;
}

/** Where a part of a large ring's nodes lies, and the key that only the ring's row holds. */
export interface SegmentEntry extends SegmentKey {
  readonly firstPath: Buffer;
}

/**
 * Where the app parts of a class and some days lie, 32 bytes a day: with them the events of a held
 * person open although the app has lost those days. Stored like a segment.
 */
export interface KeptPartsEntry extends SegmentKey {
  readonly retentionClass: number;
  readonly fromDay: number;
  readonly toDay: number;
}

/** A ring in plain. */
export interface RingMaterial {
  readonly kind: RingKind;
  readonly idKey: Buffer | undefined;
  readonly nodes: Buffer;
  readonly segments: readonly SegmentEntry[];
  readonly kept: readonly KeptPartsEntry[];
}

/** A part of a subtree to take away: `depth` nibbles of `path`. */
export interface Taken {
  readonly path: Uint8Array;
  readonly depth: number;
}

/** What a puncture changes: the new row, segments to write before it, segments to remove after. */
export interface MaterialChange {
  readonly material: RingMaterial;
  readonly written: readonly { entry: SegmentEntry; nodes: Buffer }[];
  readonly removed: readonly SegmentId[];
}

/** A new whole ring from random seeds. */
export function newRingMaterial(kind: RingKind, randomness: Randomness): RingMaterial {
  const seed = randomness.fill(secretBytes(32));
  const nodes = wholeTree(seed);
  seed.fill(0);
  const idKey = kind === ringKinds.place ? randomness.fill(secretBytes(32)) : undefined;
  return { kind, idKey, nodes, segments: [], kept: [] };
}

/** Zeroes a ring in plain. Whoever has opened one wipes it, unless a `Ring` took it over. */
export function wipeMaterial({ nodes, idKey, segments, kept }: RingMaterial): void {
  nodes.fill(0);
  idKey?.fill(0);
  for (const { key } of [...segments, ...kept]) key.fill(0);
}

/** The plain bytes of a ring. */
export function encodeRingMaterial(material: RingMaterial): Buffer {
  const counts = [Buffer.alloc(4), Buffer.alloc(4)] as const;
  counts[0].writeUInt32BE(material.nodes.length / NODE_BYTES);
  counts[1].writeUInt32BE(material.segments.length);
  const { kept } = material;
  return secretConcat([
    Buffer.from([kept.length > 0 ? FORMAT_HELD : FORMAT, material.kind]),
    material.idKey ?? Buffer.alloc(0),
    counts[0],
    material.nodes,
    counts[1],
    ...material.segments.flatMap((s) => [s.firstPath, Buffer.from(s.id, 'hex'), s.key]),
    ...(kept.length > 0 ? [encodeKept(kept)] : []),
  ]);
}

function encodeKept(kept: readonly KeptPartsEntry[]): Buffer {
  const out = secretBytes(4 + kept.length * KEPT_ENTRY_BYTES);
  out.writeUInt32BE(kept.length);
  for (const [i, entry] of kept.entries()) {
    const at = 4 + i * KEPT_ENTRY_BYTES;
    out[at] = entry.retentionClass;
    out.writeUInt16BE(entry.fromDay, at + 1);
    out.writeUInt16BE(entry.toDay, at + 3);
    out.write(entry.id, at + 5, 'hex');
    out.set(entry.key, at + 21);
  }
  return out;
}

function decodeKept(bytes: Buffer): KeptPartsEntry[] {
  if (bytes.length < 4) throw unreadable();
  const count = bytes.readUInt32BE(0);
  if (bytes.length !== 4 + count * KEPT_ENTRY_BYTES) throw unreadable();
  return Array.from({ length: count }, (_, i) => {
    const at = 4 + i * KEPT_ENTRY_BYTES;
    return {
      retentionClass: bytes[at]!,
      fromDay: bytes.readUInt16BE(at + 1),
      toDay: bytes.readUInt16BE(at + 3),
      id: bytes.toString('hex', at + 5, at + 21) as SegmentId,
      key: secretCopy(bytes.subarray(at + 21, at + 53)),
    };
  });
}

/** The ring of its plain bytes. Throws FORMAT_UNKNOWN when they are not one. */
export function decodeRingMaterial(bytes: Buffer): RingMaterial {
  const kind = bytes[1] as RingKind;
  const isHeld = bytes[0] === FORMAT_HELD;
  if (!(isHeld || bytes[0] === FORMAT) || !(kind >= 1 && kind <= 3)) throw unreadable();
  const nodesAt = (kind === ringKinds.place ? 34 : 2) + 4;
  if (bytes.length < nodesAt + 4) throw unreadable();
  const nodesEnd = nodesAt + bytes.readUInt32BE(nodesAt - 4) * NODE_BYTES;
  if (bytes.length < nodesEnd + 4) throw unreadable();
  const segmentCount = bytes.readUInt32BE(nodesEnd);
  const segmentsEnd = nodesEnd + 4 + segmentCount * SEGMENT_ENTRY_BYTES;
  if (isHeld ? bytes.length < segmentsEnd : bytes.length !== segmentsEnd) throw unreadable();
  const segments = Array.from({ length: segmentCount }, (_, i) => {
    const at = nodesEnd + 4 + i * SEGMENT_ENTRY_BYTES;
    const idAt = at + PATH_BYTES;
    return {
      firstPath: Buffer.from(bytes.subarray(at, idAt)),
      id: bytes.toString('hex', idAt, idAt + 16) as SegmentId,
      key: secretCopy(bytes.subarray(idAt + 16, idAt + 48)),
    };
  });
  // One allocation of its own: a slice of the shared pool would keep 8 KB alive for 70 bytes.
  const own = secretBytes(nodesEnd - 2);
  bytes.copy(own, 0, 2, nodesEnd);
  return {
    kind,
    idKey: kind === ringKinds.place ? own.subarray(0, 32) : undefined,
    nodes: own.subarray(nodesAt - 2),
    segments,
    kept: isHeld ? decodeKept(bytes.subarray(segmentsEnd)) : [],
  };
}

function unreadable(): LetheError {
  return new LetheError('FORMAT_UNKNOWN', 'a ring in the vault has an unknown format');
}

/** The segments that a puncture has to read: for a leaf, exactly one. */
export function segmentsOf(material: RingMaterial, taken: Taken): readonly SegmentEntry[] {
  if (material.segments.length === 0) return [];
  if (taken.depth < treeDepth(material.kind)) return material.segments;
  const target = Buffer.from(taken.path.subarray(0, PATH_BYTES));
  const at = material.segments.findLastIndex((s) => s.firstPath.compare(target) <= 0);
  return at < 0 ? [] : [material.segments[at]!];
}

/**
 * Takes a subtree away. `loaded` holds the nodes of the segments that `segmentsOf` named, in its
 * order. A changed segment gets a new id and key, so an old segment opens with no later ring.
 */
export function punctureMaterial(
  material: RingMaterial,
  taken: Taken,
  context: { loaded: ReadonlyMap<SegmentId, Buffer>; randomness: Randomness },
): MaterialChange {
  const { kind } = material;
  if (material.segments.length === 0) {
    const nodes = puncture({ kind, nodes: material.nodes }, taken);
    if (nodes.length <= ROW_NODE_BYTES_MAX) {
      return { material: { ...material, nodes }, written: [], removed: [] };
    }
    const written = cutSegments(nodes, context.randomness);
    const segments = written.map((w) => w.entry);
    return { material: { ...material, nodes: Buffer.alloc(0), segments }, written, removed: [] };
  }
  const written: { entry: SegmentEntry; nodes: Buffer }[] = [];
  const removed: SegmentId[] = [];
  const segments = material.segments.flatMap((entry) => {
    const nodes = context.loaded.get(entry.id);
    if (nodes === undefined) return [entry];
    const kept = puncture({ kind, nodes }, taken);
    if (kept.equals(nodes)) {
      kept.fill(0);
      return [entry];
    }
    const replacements = cutSegments(kept, context.randomness);
    written.push(...replacements);
    removed.push(entry.id);
    return replacements.map((w) => w.entry);
  });
  return { material: { ...material, segments }, written, removed };
}

function cutSegments(
  nodes: Buffer,
  randomness: Randomness,
): { entry: SegmentEntry; nodes: Buffer }[] {
  const parts = Math.ceil(nodes.length / SEGMENT_BYTES_MAX);
  const total = nodes.length / NODE_BYTES;
  return Array.from({ length: parts }, (_, i) => {
    const from = Math.floor((total * i) / parts) * NODE_BYTES;
    const to = Math.floor((total * (i + 1)) / parts) * NODE_BYTES;
    const part = nodes.subarray(from, to);
    const firstPath = Buffer.from(part.subarray(1, 1 + PATH_BYTES));
    const key = randomness.fill(secretBytes(32));
    return { entry: { firstPath, id: randomId<SegmentId>(randomness), key }, nodes: part };
  });
}
