/**
 * Cells of views that settle by themselves. Of two writes to a cell the one with the later write
 * time stays; of two with the same time, the one with the larger bytes. Both are computed from the
 * event, so the winner is the same whatever order the writes came in.
 *
 * https://cassandra.apache.org/doc/latest/cassandra/architecture/dynamo.html (conflict resolution)
 */
import { hexToBytes } from '../base/hex.ts';
import type { Position } from '../conversation/view-changes.ts';

export const POSITION_BYTES = 32;
const ATTEMPT_BYTES = 4;
/** Write times are positive: the complement of a millisecond counts down from here. */
const TIME_MAX = 2 ** 52;

/** A cell's bytes with its write time. */
export interface Cell {
  readonly value: Buffer;
  readonly time: number;
}

function occurredAtMs(position: Position): number {
  return Number.parseInt(position.slice(0, 16), 16);
}

function complement(value: Buffer): Buffer {
  return value.map((byte) => byte ^ 0xff) as Buffer;
}

function attemptBytes(attempt: number): Buffer {
  const out = Buffer.alloc(ATTEMPT_BYTES);
  out.writeUInt32BE(attempt);
  return out;
}

/** The newest position stays, with whatever is bound to it. */
export function newestCell(position: Position, bound: Buffer = Buffer.alloc(0)): Cell {
  return { value: Buffer.concat([hexToBytes(position), bound]), time: occurredAtMs(position) + 1 };
}

/** The oldest position stays. */
export function oldestCell(position: Position): Cell {
  return { value: complement(hexToBytes(position)), time: TIME_MAX - occurredAtMs(position) };
}

export function readOldest(value: Buffer): Position {
  return complement(value).toString('hex') as Position;
}

export function readNewest(value: Buffer): { position: Position; bound: Buffer } {
  const position = value.toString('hex', 0, POSITION_BYTES) as Position;
  return { position, bound: value.subarray(POSITION_BYTES) };
}

/** Of copies of one event the highest attempt stays, then the smallest position. */
export function copyCell(copy: { position: Position; attempt: number; record: Buffer }): Cell {
  const position = complement(hexToBytes(copy.position));
  return { value: Buffer.concat([position, copy.record]), time: copy.attempt };
}

export function readCopy(value: Buffer): { position: Position; record: Buffer } {
  const position = complement(value.subarray(0, POSITION_BYTES)).toString('hex') as Position;
  return { position, record: value.subarray(POSITION_BYTES) };
}

/** Of different events the newest position stays; of copies of one event the highest attempt. */
export function factCell(fact: { position: Position; attempt: number; record: Buffer }): Cell {
  return newestCell(fact.position, Buffer.concat([attemptBytes(fact.attempt), fact.record]));
}

export function readFact(value: Buffer): { position: Position; record: Buffer } {
  const { position, bound } = readNewest(value);
  return { position, record: bound.subarray(ATTEMPT_BYTES) };
}
