/**
 * Lists of an app in Cassandra, newest first: its conversations and its people. Each lies in
 * partitions of a day and a shard; a place is what orders an entry, followed by its id.
 */
import { DAY_MS } from '../../base/day.ts';
import { hexToBytes } from '../../base/hex.ts';
import type { Position } from '../../conversation/view-changes.ts';
import type { CassandraDatabase } from '../../engines/cassandra-database.ts';

export type ListTable = 'inbox' | 'people';

const SHARDS = 8;
const DAY_MAX = 100_000;
const MINUTE_MS = 60_000;
const MINUTE_BYTES = 4;
const PLACES_PER_READ = 100;

function positionMs(position: Position | string): number {
  return Number.parseInt(position.slice(0, 16), 16);
}

/** Which day of a list a position lies in. */
export function listDay(position: Position | string): number {
  return Math.floor(positionMs(position) / DAY_MS);
}

/** Which shard of a day an entry lies in. */
export function shardOf(id: string): number {
  return hexToBytes(id).at(-1)! % SHARDS;
}

/** Which minute of the list of conversations a position lies in. */
export function listMinute(position: Position | string): number {
  return Math.floor(positionMs(position) / MINUTE_MS);
}

function minuteBytes(minute: number): Buffer {
  const bytes = Buffer.alloc(MINUTE_BYTES);
  bytes.writeUInt32BE(minute);
  return bytes;
}

/** Where an entry stands within its shard of a day. */
export const listPlaces = {
  inbox: (position: Position, conversation: string) =>
    Buffer.concat([minuteBytes(listMinute(position)), hexToBytes(conversation)]),
  people: (position: Position, subject: string) => hexToBytes(position + subject),
} as const satisfies Record<ListTable, (position: Position, id: string) => Buffer>;

/** What lies before these was shown on earlier pages; without a position, nothing was. */
const listEdges = {
  // Of the minute in which a page ends, who reads shows what stands before its end.
  inbox: (before: string) => minuteBytes(listMinute(before) + 1),
  people: (before: string) => hexToBytes(before),
} as const satisfies Record<ListTable, (before: string) => Buffer>;

/** The parts of a place in the list of conversations. */
export function readInboxPlace(place: Buffer): { minute: number; conversation: Buffer } {
  return { minute: place.readUInt32BE(0), conversation: place.subarray(MINUTE_BYTES) };
}

/** Places of a list from a position on, newest first, in parts. */
export async function* listPlacesOf(
  database: CassandraDatabase,
  table: `${ListTable}_${number}`,
  { app, before }: { readonly app: string; readonly before?: string },
): AsyncIterable<Buffer[]> {
  const [name, g] = table.split('_') as [ListTable, string];
  const days = `SELECT day FROM ${name}_days_${g} WHERE app = ? AND day <= ? ORDER BY day DESC`;
  const newest = before === undefined ? DAY_MAX : listDay(before);
  const edge = before === undefined ? Buffer.alloc(64, 0xff) : listEdges[name](before);
  for await (const { day } of database.each<{ day: number }>(days, hexToBytes(app), newest)) {
    yield* placesOfDay(database, table, { app: hexToBytes(app), day, edge });
  }
}

async function* placesOfDay(
  database: CassandraDatabase,
  table: string,
  { app, day, edge }: { readonly app: Buffer; readonly day: number; readonly edge: Buffer },
): AsyncIterable<Buffer[]> {
  const query = `SELECT place FROM ${table} WHERE app = ? AND day = ? AND shard = ? AND place < ?
    ORDER BY place DESC LIMIT ?`;
  const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
  let from = edge;
  for (;;) {
    const parts = await database.mapAll(shards, async (shard) => {
      const values = [app, day, shard, from, PLACES_PER_READ];
      const rows = await database.all<{ place: Buffer }>(query, ...values);
      return rows.map(({ place }) => place);
    });
    // Where a shard was not read to its end, what lies behind its last place may be missing.
    const ends = parts.flatMap((part) => (part.length < PLACES_PER_READ ? [] : [part.at(-1)!]));
    const end = ends.sort(newestFirst)[0];
    const known = parts.flat().filter((place) => end === undefined || place.compare(end) >= 0);
    yield known.sort(newestFirst);
    if (end === undefined) return;
    from = end;
  }
}

const newestFirst = (a: Buffer, b: Buffer) => b.compare(a);
