/**
 * Cells whose time of writing lies ahead. Cassandra keeps the newest cell by its time, and whoever
 * may write can choose that time: a conditional write is answered as applied then, and the row
 * stays as it was. So each row that was replaced is read back. Where cells outlast what was
 * written, it is written once more, one microsecond later than they claim.
 */
import { hexToBytes } from '../../../base/hex.ts';
import type { LossId } from '../../../base/ids.ts';
import type { CassandraDatabase } from '../../../engines/cassandra-database.ts';
import { storedNumber } from '../stored-values.ts';
import { type RowKey, type RowKind, rowKinds, type VaultRow } from '../vault-store.ts';
import {
  keyParams,
  ROW_COLUMNS,
  rowValues,
  SET_COLUMNS,
  type StoredVaultRow,
  toVaultRow,
  WHERE_ROW,
} from './vault-rows-cassandra.ts';

/** Of what lies less far ahead, a later attempt is the later one by itself: clocks differ. */
const AHEAD_MS_MIN = 60_000;
const MICROS_PER_MS = 1_000n;
/** Kinds of row whose ids are random, or belong to what is gone. */
const NEVER_AGAIN: readonly RowKind[] = [
  rowKinds.accessKey,
  rowKinds.ledgerKey,
  rowKinds.subject,
  rowKinds.member,
  rowKinds.hold,
];
/** Nothing is later. */
const TIME_MAX = 2n ** 63n - 1n;

const timeOf = (column: string) => `written_${column}`;
const TIMES = ROW_COLUMNS.map((column) => `WRITETIME(${column}) AS ${timeOf(column)}`);
const READ = `SELECT ${ROW_COLUMNS.join()}, app, bucket, kind, id, ${TIMES.join()}
  FROM vault_rows ${WHERE_ROW}`;
const WRITE = `UPDATE vault_rows USING TIMESTAMP ? SET ${SET_COLUMNS} ${WHERE_ROW}`;
const READ_OWED = `SELECT owed, WRITETIME(owed) AS ${timeOf('owed')} FROM vault_rows ${WHERE_ROW}`;
// Of a cell and its removal at one time, the removal counts.
const REMOVE = `DELETE FROM vault_rows USING TIMESTAMP ? ${WHERE_ROW}`;
const REMOVE_OWED = `DELETE owed FROM vault_rows USING TIMESTAMP ? ${WHERE_ROW}`;

/** Microseconds as the driver gives them: text of them is exact. */
type Times = Readonly<Record<string, { toString(): string } | null>>;

/** Is a row that replaced another there, or one that came later? It is made to outlast what is. */
export async function outlast(database: CassandraDatabase, row: VaultRow): Promise<boolean> {
  const found = await read(database, row);
  if (found === undefined || isThere(row, found)) return true;
  const newest = newestOf(found);
  if (!isAhead(newest) || newest === TIME_MAX) return false;
  await database.run(WRITE, String(newest + 1n), ...rowValues(row), ...keyParams(row));
  const now = await read(database, row);
  return now !== undefined && isThere(row, now);
}

/**
 * Is a removed row gone? Where it outlasts its removal it is made to go, but for one whose name may
 * be used anew: what is written under that name before the claimed time would not be seen.
 */
export async function outlastRemoved(
  database: CassandraDatabase,
  row: Pick<VaultRow, 'version'> & RowKey,
): Promise<boolean> {
  const found = await read(database, row);
  if (found === undefined || storedNumber(found.version) !== row.version) return true;
  const newest = newestOf(found);
  if (!isAhead(newest) || !NEVER_AGAIN.includes(row.kind)) return false;
  await database.run(REMOVE, String(newest), ...keyParams(row));
  return (await read(database, row)) === undefined;
}

/** A row does not owe a loss any more: takes away what outlasted its being entered. */
export async function outlastOwed(
  database: CassandraDatabase,
  key: RowKey,
  loss: LossId,
): Promise<void> {
  const row = await database.get<{ owed: Buffer | null } & Times>(READ_OWED, ...keyParams(key));
  if (!row?.owed?.equals(hexToBytes(loss))) return;
  const time = timeIn(row, 'owed');
  if (isAhead(time)) await database.run(REMOVE_OWED, String(time), ...keyParams(key));
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

function timeIn(found: Times, column: string): bigint {
  return BigInt(String(found[timeOf(column)] ?? 0));
}

function newestOf(found: Times): bigint {
  const times = ROW_COLUMNS.map((column) => timeIn(found, column));
  return times.reduce((newest, time) => (time > newest ? time : newest));
}

function isAhead(time: bigint): boolean {
  return time > BigInt(Date.now() + AHEAD_MS_MIN) * MICROS_PER_MS;
}
