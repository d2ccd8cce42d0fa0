/**
 * The feed in the vault's keyspace. Every write is conditional and, once it was answered, committed
 * on a quorum. Whoever reads at QUORUM afterwards sees it. That is all that T0 asks: a sync that
 * began before the answer does not count for longer than its lease.
 *
 * Reads at SERIAL would get in each other's way on the one partition that all holders look at. Only
 * two reads are at SERIAL, which settles what is under way: entries, when there is a new one, and
 * what is read back after an unknown outcome. So a head is never seen without its entry.
 */
import { randomBytes } from 'node:crypto';
import type { LossId } from '../../../base/ids.ts';
import type { CassandraDatabase } from '../../../engines/cassandra-database.ts';
import { decodeFeedRows, encodeFeedRows } from '../feed-rows.ts';
import type { FeedEntry, FeedHead, FeedStore, Holder } from '../feed-store.ts';

const HEAD = 'SELECT incarnation, head FROM feed_entries WHERE one = 0 LIMIT 1';
const BORN = `UPDATE feed_entries SET incarnation = ?, head = 0 WHERE one = 0
  IF incarnation = null`;
const RAISE = 'UPDATE feed_entries SET head = ? WHERE one = 0 IF head = ?';
const ADD = 'INSERT INTO feed_entries (one, number, erasure, rows) VALUES (0, ?, ?, ?)';
const ENTRIES = `SELECT number, erasure, rows FROM feed_entries
  WHERE one = 0 AND number > ? LIMIT ?`;
const NUMBERS = 'SELECT number FROM feed_entries WHERE one = 0 AND number > 0';
const DROP = 'DELETE FROM feed_entries WHERE one = 0 AND number = ? IF EXISTS';
const HOLDER = `SELECT id, lease_ms, acknowledged, struck_at_ms, door FROM feed_holders
  WHERE one = 0`;
const REGISTER = `INSERT INTO feed_holders (one, id, lease_ms, acknowledged)
  VALUES (0, ?, ?, ?) IF NOT EXISTS`;
const ANNOUNCE = 'UPDATE feed_holders SET door = ? WHERE one = 0 AND id = ? IF EXISTS';
const ACKNOWLEDGE = `UPDATE feed_holders SET acknowledged = ? WHERE one = 0 AND id = ?
  IF acknowledged < ? AND struck_at_ms = null`;
const STRIKE = `UPDATE feed_holders SET struck_at_ms = ? WHERE one = 0 AND id = ?
  IF struck_at_ms = null AND acknowledged >= 0`;
const REMOVE = 'DELETE FROM feed_holders WHERE one = 0 AND id = ? IF EXISTS';

interface StoredEntry {
  number: number;
  erasure: Buffer;
  rows: Buffer;
}

interface StoredHolder {
  id: string;
  lease_ms: number;
  acknowledged: number;
  struck_at_ms: number | null;
  door: string | null;
}

/** Opens the feed's tables; `lethe migrate` made them. */
export function openFeedStoreCassandra(database: CassandraDatabase): FeedStore {
  const apply = (query: string, ...params: unknown[]) =>
    // Each of these can be repeated: what matters is what is read afterwards.
    database.applySettled([{ query, params }]);

  async function head(): Promise<FeedHead> {
    const found = await database.get<{ incarnation: string | null; head: number }>(HEAD);
    if (found?.incarnation != null) {
      return { incarnation: found.incarnation, number: Number(found.head) };
    }
    await apply(BORN, newIncarnation());
    return head();
  }

  async function entryOf(number: number): Promise<StoredEntry | undefined> {
    const found = await database.allSerial<StoredEntry>(ENTRIES, number - 1, 1);
    return found.find((one) => Number(one.number) === number);
  }

  async function holders(): Promise<Holder[]> {
    return (await database.all<StoredHolder>(HOLDER)).map(toHolder);
  }

  return {
    head,
    async append({ number, erasure, rows }) {
      await head();
      const bytes = encodeFeedRows(rows);
      const own = Buffer.from(erasure, 'hex');
      const statements = [
        { query: RAISE, params: [number, number - 1] },
        { query: ADD, params: [number, own, bytes] },
      ];
      return database.applySettled(statements, async () => {
        const there = await entryOf(number);
        return there?.erasure.equals(own) === true && there.rows.equals(bytes);
      });
    },
    async entries(after, limit) {
      return (await database.allSerial<StoredEntry>(ENTRIES, after, limit)).map(toEntry);
    },
    async prune(before) {
      const { number: newest } = await head();
      for (const { number } of await database.allSerial<StoredEntry>(NUMBERS)) {
        if (Number(number) < before && Number(number) < newest) await apply(DROP, number);
      }
    },
    async register({ id, leaseMs, acknowledged }) {
      await apply(REGISTER, id, leaseMs, acknowledged);
    },
    async announce(id, door) {
      await apply(ANNOUNCE, door, id);
    },
    async holder(id) {
      const found = await database.get<StoredHolder>(`${HOLDER} AND id = ?`, id);
      return found && toHolder(found);
    },
    holders,
    async acknowledge(id, number) {
      await apply(ACKNOWLEDGE, number, id, number);
    },
    async strike(id, atMs) {
      await apply(STRIKE, atMs, id);
    },
    async remove(id) {
      await apply(REMOVE, id);
    },
    async renew(next = newIncarnation()) {
      for (const { number } of await database.allSerial<StoredEntry>(NUMBERS)) {
        await apply(DROP, number);
      }
      for (const { id } of await holders()) await apply(REMOVE, id);
      const { incarnation } = await head();
      const query = `UPDATE feed_entries SET incarnation = ?, head = 0 WHERE one = 0
        IF incarnation = ?`;
      await apply(query, next, incarnation);
    },
  };
}

function newIncarnation(): string {
  return randomBytes(16).toString('hex');
}

function toEntry({ number, erasure, rows }: StoredEntry): FeedEntry {
  const by = erasure.toString('hex') as LossId;
  return { number: Number(number), erasure: by, rows: decodeFeedRows(rows) };
}

function toHolder(row: StoredHolder): Holder {
  return {
    id: row.id,
    leaseMs: row.lease_ms,
    acknowledged: Number(row.acknowledged),
    struckAtMs: row.struck_at_ms === null ? null : Number(row.struck_at_ms),
    door: row.door,
  };
}
