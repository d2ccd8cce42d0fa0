/**
 * The log in one SQLite table. The row id is partition * 2^40 + offset, so that one B-tree serves
 * both; a group is followed by one member at a time, which holds a short lease.
 */

import { streamToPartition } from '../../codec/event-record.ts';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import type { EventLog, LogPosition, LogRecord, PlacedRecord } from '../event-log.ts';
import type { WakeSignal } from '../wake-signal.ts';
import { openDeadLettersSqlite } from './dead-letters-sqlite.ts';
import { followSqlite, SAVE_CHECKPOINT } from './follow-sqlite.ts';

const TABLES = `
  CREATE TABLE IF NOT EXISTS log_settings (partitions INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS log_records (
    row INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL
  );
  CREATE TABLE IF NOT EXISTS log_checkpoints (
    name TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (name, partition)
  );
  CREATE TABLE IF NOT EXISTS log_members (
    name TEXT PRIMARY KEY, member TEXT NOT NULL, until INTEGER NOT NULL
  );`;

const OFFSETS = 2 ** 40;
const PARTITIONS_DEFAULT = 8;

/** Opens the log's tables; `partitions` only counts when the log is made. */
export function openEventLogSqlite(
  database: SqliteDatabase,
  options: { wake: WakeSignal; partitions?: number },
): EventLog {
  const { wake } = options;
  database.define(TABLES);
  const partitions = database.transaction(() => {
    const stored = database.get<{ partitions: number }>('SELECT partitions FROM log_settings');
    if (stored !== undefined) return stored.partitions;
    const made = options.partitions ?? PARTITIONS_DEFAULT;
    database.run('INSERT INTO log_settings VALUES (?)', made);
    return made;
  });

  function checkpoints(group: string): number[] {
    const sql = 'SELECT partition, next FROM log_checkpoints WHERE name = ?';
    const next = new Array<number>(partitions).fill(0);
    for (const row of database.all<{ partition: number; next: number }>(sql, group)) {
      next[row.partition] = row.next;
    }
    return next;
  }

  function read(partition: number, from: number, limit: number): PlacedRecord[] {
    const sql =
      'SELECT row, key, value FROM log_records WHERE row >= ? AND row < ? ORDER BY row LIMIT ?';
    const base = partition * OFFSETS;
    const rows = database.all<{ row: number; key: unknown; value: unknown }>(
      sql,
      base + from,
      base + OFFSETS,
      limit,
    );
    return rows.map(({ row, key, value }) => ({
      partition,
      offset: row - base,
      key: bytesOf(key),
      value: bytesOf(value),
    }));
  }

  return {
    partitions,
    removesLater: false,
    isOpenToOthers: false,
    deadLetters: openDeadLettersSqlite(database),
    async append(records) {
      const positions = database.transaction(() => insertRecords(database, partitions, records));
      wake.notify();
      return positions;
    },
    async read(partition, from, limit) {
      return read(partition, from, limit);
    },
    async remove(positions) {
      database.transaction(() => removeRecords(database, positions));
      database.truncateWal();
    },
    async endOffsets() {
      return Array.from({ length: partitions }, (_, partition) => endOffset(database, partition));
    },
    async checkpoints(group) {
      return checkpoints(group);
    },
    async saveCheckpoints(group, next) {
      database.transaction(() => {
        for (const [partition, offset] of next.entries()) {
          database.run(SAVE_CHECKPOINT, group, partition, offset);
        }
      });
    },
    follow: (followed) => followSqlite(database, { wake, partitions, checkpoints, read }, followed),
    async isFollowed(group) {
      const sql = 'SELECT 1 FROM log_members WHERE name = ? AND until > ?';
      return database.get(sql, group, Date.now()) !== undefined;
    },
    async dropGroup(group) {
      database.run('DELETE FROM log_checkpoints WHERE name = ?', group);
    },
  };
}

function endOffset(database: SqliteDatabase, partition: number): number {
  const sql = 'SELECT max(row) AS last FROM log_records WHERE row >= ? AND row < ?';
  const from = partition * OFFSETS;
  const row = database.get<{ last: number | null }>(sql, from, from + OFFSETS);
  return row?.last == null ? 0 : row.last - from + 1;
}

// The newest row of a partition tells its end offset, and stays as a tombstone.
function removeRecords(database: SqliteDatabase, positions: readonly LogPosition[]): void {
  const ends = new Map<number, number>();
  for (const { partition, offset } of positions) {
    const end = ends.get(partition) ?? endOffset(database, partition);
    ends.set(partition, end);
    const isLast = offset === end - 1;
    const sql = isLast
      ? `UPDATE log_records SET key = x'', value = x'' WHERE row = ?`
      : 'DELETE FROM log_records WHERE row = ?';
    database.run(sql, partition * OFFSETS + offset);
  }
}

/** Appends inside the caller's transaction; who commits it wakes the followers. */
export function insertRecords(
  database: SqliteDatabase,
  partitions: number,
  records: readonly LogRecord[],
): LogPosition[] {
  const next = new Map<number, number>();
  return records.map(({ key, value }) => {
    const partition = streamToPartition(key, partitions);
    const offset = next.get(partition) ?? endOffset(database, partition);
    next.set(partition, offset + 1);
    const sql = 'INSERT INTO log_records (row, key, value) VALUES (?, ?, ?)';
    database.run(sql, partition * OFFSETS + offset, key, value);
    return { partition, offset };
  });
}

/** What is no bytes was not written by Lethe: it is a record that cannot be read, as others are. */
function bytesOf(stored: unknown): Buffer {
  if (!(stored instanceof Uint8Array)) return Buffer.from(String(stored));
  return Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
}
