/**
 * Cells whose time of writing lies ahead. Cassandra keeps the newest cell by its time, and whoever
 * may write can choose that time: a conditional write is answered as applied then, and the row
 * stays as it was. So each row that was replaced is read back. Where cells outlast what was
 * written, it is written once more, one microsecond later than they claim.
 */
import cassandra from 'cassandra-driver';
import { hexToBytes } from '../../../base/hex.ts';
import type { LossId } from '../../../base/ids.ts';
import type { CassandraDatabase } from '../../../engines/cassandra-database.ts';
import { storedNumber } from '../stored-values.ts';
import type { RowKey, VaultRow } from '../vault-store.ts';
import {
  keyParams,
  ROW_COLUMNS,
  rowValues,
  type StoredVaultRow,
  toVaultRow,
  WHERE_ROW,
} from './vault-rows-cassandra.ts';

const { Long } = cassandra.types;
type Micros = InstanceType<typeof Long>;

/** Of what lies less far ahead, a later attempt is the later one by itself: clocks differ. */
const AHEAD_MS_MIN = 60_000;
const MICROS_PER_MS = 1_000;

const timeOf = (column: string) => `written_${column}`;
const TIMES = ROW_COLUMNS.map((column) => `WRITETIME(${column}) AS ${timeOf(column)}`);
const READ = `SELECT ${ROW_COLUMNS.join()}, app, bucket, kind, id, ${TIMES.join()}
  FROM vault_rows ${WHERE_ROW}`;
const WRITE = `UPDATE vault_rows USING TIMESTAMP ?
  SET ${ROW_COLUMNS.map((column) => `${column} = ?`).join()} ${WHERE_ROW}`;
const READ_OWED = `SELECT owed, WRITETIME(owed) AS ${timeOf('owed')} FROM vault_rows ${WHERE_ROW}`;
// Of a cell and its removal at one time, the removal counts.
const REMOVE_OWED = `DELETE owed FROM vault_rows USING TIMESTAMP ? ${WHERE_ROW}`;

type Times = Readonly<Record<string, Micros | null>>;

/** Is a row that was written over there, or one that came later? Writes it until it is, or cannot. */
export async function outlast(database: CassandraDatabase, row: VaultRow): Promise<boolean> {
  const found = await read(database, row);
  if (found === undefined || isThere(row, found)) return true;
  const newest = newestOf(found);
  if (!isAhead(newest)) return false;
  await database.run(WRITE, newest.add(1), ...rowValues(row), ...keyParams(row));
  const now = await read(database, row);
  return now !== undefined && isThere(row, now);
}

/** A row does not owe a loss any more: takes away what outlasted its being entered. */
export async function outlastOwed(
  database: CassandraDatabase,
  key: RowKey,
  loss: LossId,
): Promise<void> {
  const row = await database.get<{ owed: Buffer | null } & Times>(READ_OWED, ...keyParams(key));
  const newest = row?.[timeOf('owed')];
  if (!newest || !row.owed?.equals(hexToBytes(loss)) || !isAhead(newest)) return;
  await database.run(REMOVE_OWED, newest, ...keyParams(key));
}

/** What was answered as applied is at a quorum: no round of Paxos is needed to see it. */
function read(database: CassandraDatabase, key: RowKey) {
  return database.get<StoredVaultRow & Times>(READ, ...keyParams(key));
}

/** As it was written, or replaced since by who found it so. */
function isThere(row: VaultRow, found: StoredVaultRow): boolean {
  if (storedNumber(found.version) > row.version) return true;
  const columns = rowValues(toVaultRow(found));
  return rowValues(row).every((value, i) => isSame(value, columns[i]));
}

function isSame(one: unknown, other: unknown): boolean {
  if (Buffer.isBuffer(one) && Buffer.isBuffer(other)) return one.equals(other);
  return (one ?? null) === (other ?? null);
}

function newestOf(found: Times): Micros {
  const times = ROW_COLUMNS.map((column) => found[timeOf(column)] ?? Long.ZERO);
  return times.reduce((newest, time) => (time.greaterThan(newest) ? time : newest));
}

function isAhead(time: Micros): boolean {
  return time.toNumber() > (Date.now() + AHEAD_MS_MIN) * MICROS_PER_MS;
}
