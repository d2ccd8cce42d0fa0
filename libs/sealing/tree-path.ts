/**
 * Paths in a ring's tree. A path is a list of nibbles (0..15), packed high nibble first into 5
 * bytes. Time: retention class ‖ four nibbles of the UTC day. Things: ten nibbles of a hash.
 */
import { DAY_MAX } from '../base/day.ts';
import { labels } from '../codec/labels.ts';
import { digestWork, workArea } from './sha256-block.ts';

/** The kinds of ring; the number is part of every tree node's derivation. */
export const ringKinds = { app: 1, owner: 2, place: 3 } as const;
/** 1 app, 2 owner, 3 place. */
export type RingKind = (typeof ringKinds)[keyof typeof ringKinds];

/** Nibbles of a time path: class and day. */
export const TIME_DEPTH = 5;
/** Nibbles of a thing path. */
export const THING_DEPTH = 10;
/** Bytes that hold a path of either kind. */
export const PATH_BYTES = 5;

/** Retention classes; 4..14 are free for apps, 15 is reserved. */
export const retentionClasses = { ageless: 0, messages: 1, attachments: 2, receipts: 3 } as const;
/** The last class that may be used. */
export const RETENTION_CLASS_MAX = 14;

/** How deep the tree of this kind of ring is. */
export function treeDepth(kind: RingKind): number {
  return kind === ringKinds.place ? THING_DEPTH : TIME_DEPTH;
}

/** Writes the time path of a class and day. Throws RangeError outside the format's bounds. */
export function writeTimePath(retentionClass: number, day: number, target: Uint8Array): void {
  if (!(retentionClass >= 0 && retentionClass <= RETENTION_CLASS_MAX)) {
    throw new RangeError('retention class outside 0..14');
  }
  if (!(day >= 0 && day <= DAY_MAX)) throw new RangeError('day outside 0..65535');
  target[0] = (retentionClass << 4) | (day >>> 12);
  target[1] = (day >>> 4) & 0xff;
  target[2] = (day & 0x0f) << 4;
  target[3] = 0;
  target[4] = 0;
}

/** The time path of a class and day as 5 bytes. */
export function timePath(retentionClass: number, day: number): Uint8Array {
  const path = new Uint8Array(PATH_BYTES);
  writeTimePath(retentionClass, day, path);
  return path;
}

const thingDigest = new Uint8Array(32);

/** Writes the thing path of a thing id (16 bytes at `at` of `source`). */
export function writeThingPath(source: Uint8Array, at: number, target: Uint8Array): void {
  workArea.set(labels.thingPath, 0);
  for (let i = 0; i < 16; i += 1) workArea[16 + i] = source[at + i]!;
  digestWork(32, thingDigest, 0);
  for (let i = 0; i < PATH_BYTES; i += 1) target[i] = thingDigest[i]!;
}

/** The thing path of a thing id as 5 bytes. */
export function thingPath(thing: string): Uint8Array {
  const path = new Uint8Array(PATH_BYTES);
  writeThingPath(Buffer.from(thing, 'hex'), 0, path);
  return path;
}

/** Do two things hang on the same leaf of a place's tree? Two of n do with chance n / 2^40. */
export function shareLeaf(thing: string, other: string): boolean {
  const [path, otherPath] = [thingPath(thing), thingPath(other)];
  return path.every((byte, i) => byte === otherPath[i]);
}

/** The nibble at a depth (0 = first). */
export function nibbleAt(path: Uint8Array, depth: number): number {
  const byte = path[depth >> 1]!;
  return (depth & 1) === 0 ? byte >>> 4 : byte & 0x0f;
}
