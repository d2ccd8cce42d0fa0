/**
 * A puncturable key tree: the nodes that are left of it, packed and sorted. Any leaf can be derived
 * from its ancestor; a puncture replaces the ancestor by the siblings along the path, so that the
 * leaf is gone and all others stay (Goldreich, Goldwasser, Micali 1986; puncturing as in
 * Boyle-Goldwasser-Ivan 2014 and Aviram-Gellert-Jager 2019). Nothing here is asynchronous.
 *
 * A packed node is depth u8 ‖ path 5 ‖ seed 32; nodes are prefix-free and sorted by path.
 */
import { secretBytes, secretConcat, secretCopy } from '../base/secret-bytes.ts';
import { labels } from '../codec/labels.ts';
import {
  blockWords,
  digestedWords,
  digestWords,
  digestWork,
  wipeWork,
  workArea,
  writeDigest,
} from './sha256-block.ts';
import { nibbleAt, PATH_BYTES, type RingKind } from './tree-path.ts';

/** Bytes of a stored node: depth, path, seed. */
export const NODE_BYTES = 1 + PATH_BYTES + 32;
const SEED_AT = 1 + PATH_BYTES;

/** The nodes of a whole, unpunctured tree: its root alone. */
export function wholeTree(rootSeed: Uint8Array): Buffer {
  const nodes = secretBytes(NODE_BYTES);
  nodes.set(rootSeed.subarray(0, 32), SEED_AT);
  return nodes;
}

/** child(seed, depth, n) = SHA-256(label ‖ ring kind ‖ child's depth, from 1 ‖ n ‖ seed). */
export function writeChildSeed(
  step: { kind: RingKind; depth: number; nibble: number },
  seed: { bytes: Uint8Array; at: number },
  target: { bytes: Uint8Array; at: number },
): void {
  workArea.set(labels.treeNode, 0);
  workArea[16] = step.kind;
  workArea[17] = step.depth;
  workArea[18] = step.nibble;
  for (let i = 0; i < 32; i += 1) workArea[19 + i] = seed.bytes[seed.at + i]!;
  digestWork(51, target.bytes, target.at);
}

/** Index of the node that is an ancestor of (or is) the leaf at `path`, or -1: punctured. */
export function findAncestor(nodes: Buffer, path: Uint8Array): number {
  let low = 0;
  let high = nodes.length / NODE_BYTES - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (comparePath(nodes, middle, path) <= 0) low = middle + 1;
    else high = middle - 1;
  }
  return high >= 0 && coversPath(nodes, high, path) ? high : -1;
}

/**
 * Derives the leaf at `path`, `depth` levels deep, into `target`. False: it was taken away.
 * The work area is left with seeds in it; callers wipe it when their batch is done.
 */
export function writeLeaf(
  tree: { kind: RingKind; nodes: Buffer },
  leaf: { path: Uint8Array; depth: number },
  target: { bytes: Uint8Array; at: number },
): boolean {
  const { nodes, kind } = tree;
  const index = findAncestor(nodes, leaf.path);
  if (index < 0) return false;
  const base = index * NODE_BYTES;
  const seed = { bytes: nodes, at: base + SEED_AT };
  walkDown({ kind, seed, depth: nodes[base]! }, leaf, target);
  return true;
}

/** Derives the descendant of a node that is an ancestor of (or is) the leaf. */
export function walkDown(
  from: { kind: RingKind; seed: { bytes: Buffer; at: number }; depth: number },
  leaf: { path: Uint8Array; depth: number },
  target: { bytes: Uint8Array; at: number },
): void {
  const { kind, seed } = from;
  for (let i = 0; i < 8; i += 1) digestedWords[i] = seed.bytes.readInt32BE(seed.at + i * 4);
  for (let depth = from.depth; depth < leaf.depth; depth += 1) {
    stepDown(kind, depth + 1, nibbleAt(leaf.path, depth));
  }
  writeDigest(target.bytes, target.at);
}

const LABEL_WORDS = Int32Array.from([0, 4, 8, 12], (at) => labels.treeNode.readInt32BE(at));

/**
 * One step of a walk, on words: the seed is the last digest, and so is the child. The 51 bytes
 * label 16 ‖ kind ‖ depth ‖ n ‖ seed 32 and their padding (FIPS 180-4 section 5.1.1) are one block,
 * the seed shifted by three bytes against the words.
 */
function stepDown(kind: RingKind, depth: number, nibble: number): void {
  const w = blockWords;
  const s = digestedWords;
  w[0] = LABEL_WORDS[0]!;
  w[1] = LABEL_WORDS[1]!;
  w[2] = LABEL_WORDS[2]!;
  w[3] = LABEL_WORDS[3]!;
  w[4] = (kind << 24) | (depth << 16) | (nibble << 8) | (s[0]! >>> 24);
  for (let i = 1; i < 8; i += 1) w[4 + i] = (s[i - 1]! << 8) | (s[i]! >>> 24);
  w[12] = (s[7]! << 8) | 0x80;
  w[13] = 0;
  w[14] = 0;
  w[15] = 51 * 8;
  digestWords();
}

/** The nodes that are left when the subtree at the first `depth` nibbles of `path` is taken. */
export function puncture(
  tree: { kind: RingKind; nodes: Buffer },
  taken: { path: Uint8Array; depth: number },
): Buffer {
  const kept: Buffer[] = [];
  const made: Buffer[] = [];
  const { nodes } = tree;
  for (let at = 0; at < nodes.length; at += NODE_BYTES) {
    const node = nodes.subarray(at, at + NODE_BYTES);
    const depth = node[0]!;
    const shared = Math.min(depth, taken.depth);
    if (!samePrefix(node.subarray(1, SEED_AT), taken.path, shared)) kept.push(node);
    else if (depth < taken.depth) {
      const siblings = splitAround(tree.kind, node, taken);
      made.push(siblings);
      kept.push(siblings);
    }
  }
  const result = secretConcat(kept);
  for (const siblings of made) siblings.fill(0);
  wipeWork();
  return result;
}

/** The siblings of the path below one ancestor node, sorted. */
function splitAround(
  kind: RingKind,
  ancestor: Buffer,
  taken: { path: Uint8Array; depth: number },
): Buffer {
  const from = ancestor[0]!;
  const before: Buffer[] = [];
  const after: Buffer[][] = [];
  let seed = secretCopy(ancestor.subarray(SEED_AT));
  for (let depth = from; depth < taken.depth; depth += 1) {
    const onPath = nibbleAt(taken.path, depth);
    const next = secretBytes(32);
    const level: Buffer[] = [];
    for (let nibble = 0; nibble < 16; nibble += 1) {
      const step = { kind, depth: depth + 1, nibble };
      if (nibble === onPath) {
        writeChildSeed(step, { bytes: seed, at: 0 }, { bytes: next, at: 0 });
        continue;
      }
      const node = secretBytes(NODE_BYTES);
      node[0] = depth + 1;
      node.set(pathWithNibble(taken.path, depth, nibble), 1);
      writeChildSeed(step, { bytes: seed, at: 0 }, { bytes: node, at: SEED_AT });
      (nibble < onPath ? before : level).push(node);
    }
    after.unshift(level);
    seed.fill(0);
    seed = next;
  }
  seed.fill(0);
  const siblings = [...before, ...after.flat()];
  const all = secretConcat(siblings);
  for (const node of siblings) node.fill(0);
  return all;
}

/** The first `depth` nibbles of `path`, then `nibble`, then zeros. */
export function pathWithNibble(path: Uint8Array, depth: number, nibble: number): Uint8Array {
  const out = new Uint8Array(PATH_BYTES);
  for (let i = 0; i < depth; i += 1) setNibble(out, i, nibbleAt(path, i));
  setNibble(out, depth, nibble);
  return out;
}

function setNibble(path: Uint8Array, depth: number, nibble: number): void {
  const index = depth >> 1;
  path[index] = path[index]! | ((depth & 1) === 0 ? nibble << 4 : nibble);
}

function samePrefix(a: Uint8Array, b: Uint8Array, depth: number): boolean {
  for (let i = 0; i < depth; i += 1) if (nibbleAt(a, i) !== nibbleAt(b, i)) return false;
  return true;
}

function comparePath(nodes: Buffer, index: number, path: Uint8Array): number {
  const at = index * NODE_BYTES + 1;
  for (let i = 0; i < PATH_BYTES; i += 1) {
    const difference = nodes[at + i]! - path[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

function coversPath(nodes: Buffer, index: number, path: Uint8Array): boolean {
  const at = index * NODE_BYTES;
  const depth = nodes[at]!;
  for (let i = 0; i < depth; i += 1) {
    const byte = nodes[at + 1 + (i >> 1)]!;
    if (((i & 1) === 0 ? byte >>> 4 : byte & 0x0f) !== nibbleAt(path, i)) return false;
  }
  return true;
}
