/**
 * The log in one SQLite table. The row id is partition * 2^40 + offset, so that one B-tree serves
 * both; a group is followed by one member at a time, which holds a short lease.
 */
import { randomUUID } from 'node:crypto';
import type { SqliteDatabase } from '../base/sqlite-database.ts';
import { streamToPartition } from '../codec/event-record.ts';
import type {
  EventLog,
  FollowOptions,
  LogPosition,
  LogRecord,
  PlacedRecord,
} from './event-log.ts';
import type { WakeSignal } from './wake-signal.ts';

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
const BATCH_RECORDS = 4_000;
const LOOK_INTERVAL_MS = 50;
const MEMBER_LEASE_MS = 3_000;
const TAKE_GROUP = `INSERT INTO log_members VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE
  SET member = ?2, until = ?3 WHERE member = ?2 OR until < ?4`;
const SAVE_CHECKPOINT = `INSERT INTO log_checkpoints VALUES (?1, ?2, ?3)
  ON CONFLICT (name, partition) DO UPDATE SET next = max(next, ?3)`;

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
    const rows = database.all<{ row: number; key: Uint8Array; value: Uint8Array }>(
      sql,
      base + from,
      base + OFFSETS,
      limit,
    );
    return rows.map(({ row, key, value }) => ({
      partition,
      offset: row - base,
      key: Buffer.from(key.buffer, key.byteOffset, key.byteLength),
      value: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
    }));
  }

  return {
    partitions,
    async append(records) {
      const positions = database.transaction(() => insertRecords(database, partitions, records));
      wake.notify();
      return positions;
    },
    async read(partition, from, limit) {
      return read(partition, from, limit);
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
    follow: (followed) => follow(followed),
    async isFollowed(group) {
      const sql = 'SELECT 1 FROM log_members WHERE name = ? AND until > ?';
      return database.get(sql, group, Date.now()) !== undefined;
    },
    async dropGroup(group) {
      database.run('DELETE FROM log_checkpoints WHERE name = ?', group);
    },
  };

  async function follow({ group, handle, caughtUp, signal }: FollowOptions): Promise<void> {
    const member = randomUUID();
    const renew = () => {
      const now = Date.now();
      return database.run(TAKE_GROUP, group, member, now + MEMBER_LEASE_MS, now) === 1;
    };
    const wakeOnAbort = () => wake.notify();
    signal.addEventListener('abort', wakeOnAbort);
    let renewedAtMs = 0;
    let isMember = false;
    try {
      while (!signal.aborted) {
        const mark = wake.mark();
        if (!isMember || Date.now() - renewedAtMs > MEMBER_LEASE_MS / 3) {
          isMember = renew();
          renewedAtMs = Date.now();
        }
        if (isMember && (await handleNext(group, handle))) continue;
        if (isMember) caughtUp?.();
        await wake.wait(mark, LOOK_INTERVAL_MS);
      }
    } finally {
      signal.removeEventListener('abort', wakeOnAbort);
      database.run('DELETE FROM log_members WHERE name = ? AND member = ?', group, member);
    }
  }

  /** Handles the next records of all partitions together; false when there were none. */
  async function handleNext(group: string, handle: FollowOptions['handle']): Promise<boolean> {
    const next = checkpoints(group);
    const records: PlacedRecord[] = [];
    for (let partition = 0; partition < partitions; partition += 1) {
      const room = Math.ceil((BATCH_RECORDS - records.length) / (partitions - partition));
      records.push(...read(partition, next[partition]!, room));
    }
    if (records.length === 0) return false;
    await handle(records);
    const last = new Map(records.map(({ partition, offset }) => [partition, offset + 1]));
    database.transaction(() => {
      for (const [partition, offset] of last) {
        database.run(SAVE_CHECKPOINT, group, partition, offset);
      }
    });
    return true;
  }
}

function endOffset(database: SqliteDatabase, partition: number): number {
  const sql = 'SELECT max(row) AS last FROM log_records WHERE row >= ? AND row < ?';
  const from = partition * OFFSETS;
  const row = database.get<{ last: number | null }>(sql, from, from + OFFSETS);
  return row?.last == null ? 0 : row.last - from + 1;
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
