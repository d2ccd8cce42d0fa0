/** Following the SQLite log: a group has one live member, which holds a short lease on it. */
import { randomUUID } from 'node:crypto';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import type { FollowOptions, PlacedRecord } from '../event-log.ts';
import type { WakeSignal } from '../wake-signal.ts';

const BATCH_RECORDS = 4_000;
const LOOK_INTERVAL_MS = 50;
const MEMBER_LEASE_MS = 3_000;
const TAKE_GROUP = `INSERT INTO log_members VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE
  SET member = ?2, until = ?3 WHERE member = ?2 OR until < ?4`;
/** Moves a checkpoint forward, never back. */
export const SAVE_CHECKPOINT = `INSERT INTO log_checkpoints VALUES (?1, ?2, ?3)
  ON CONFLICT (name, partition) DO UPDATE SET next = max(next, ?3)`;

/** What following needs of the log. */
export interface FollowedLog {
  readonly wake: WakeSignal;
  readonly partitions: number;
  checkpoints(group: string): number[];
  read(partition: number, from: number, limit: number): PlacedRecord[];
}

/** Follows the log as the one live member of a group. */
export async function followSqlite(
  database: SqliteDatabase,
  log: FollowedLog,
  { group, handle, caughtUp, signal }: FollowOptions,
): Promise<void> {
  const { wake } = log;
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
      if (isMember && (await handleNext(database, log, { group, handle }))) continue;
      if (isMember) caughtUp?.();
      await wake.wait(mark, LOOK_INTERVAL_MS);
    }
  } finally {
    signal.removeEventListener('abort', wakeOnAbort);
    database.run('DELETE FROM log_members WHERE name = ? AND member = ?', group, member);
  }
}

/** Handles the next records of all partitions together; false when there were none. */
async function handleNext(
  database: SqliteDatabase,
  { partitions, checkpoints, read }: FollowedLog,
  { group, handle }: Pick<FollowOptions, 'group' | 'handle'>,
): Promise<boolean> {
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
