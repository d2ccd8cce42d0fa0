/** The feed in the vault's SQLite file. */
import { randomBytes } from 'node:crypto';
import type { LossId } from '../../../base/ids.ts';
import type { SqliteDatabase } from '../../../engines/sqlite-database.ts';
import { decodeFeedRows, encodeFeedRows } from '../feed-rows.ts';
import type { FeedEntry, FeedHead, FeedStore, Holder } from '../feed-store.ts';

const TABLES = `
  CREATE TABLE IF NOT EXISTS feed_incarnation (
    one INTEGER PRIMARY KEY CHECK (one = 1), incarnation TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS feed_entries (
    number INTEGER PRIMARY KEY, erasure BLOB NOT NULL, rows BLOB NOT NULL
  );
  CREATE TABLE IF NOT EXISTS feed_holders (
    id TEXT PRIMARY KEY, lease_ms INTEGER NOT NULL, acknowledged INTEGER NOT NULL,
    struck_at_ms INTEGER
  );
  CREATE TABLE IF NOT EXISTS feed_doors (id TEXT PRIMARY KEY, door TEXT NOT NULL);`;
const HEAD = `SELECT incarnation, (SELECT max(number) FROM feed_entries) AS number
  FROM feed_incarnation`;
const APPEND = `INSERT INTO feed_entries (number, erasure, rows)
  SELECT ?, ?, ? WHERE ? = 1 + (SELECT coalesce(max(number), 0) FROM feed_entries)`;
const ENTRIES = 'SELECT * FROM feed_entries WHERE number > ? ORDER BY number LIMIT ?';
const HOLDERS = `SELECT id, lease_ms AS leaseMs, acknowledged, struck_at_ms AS struckAtMs, door
  FROM feed_holders LEFT JOIN feed_doors USING (id)`;
const ACKNOWLEDGE = `UPDATE feed_holders SET acknowledged = max(acknowledged, ?)
  WHERE id = ? AND struck_at_ms IS NULL`;

interface Stored {
  number: number;
  erasure: Uint8Array;
  rows: Uint8Array;
}

/** Opens the feed's tables. */
export function openFeedStoreSqlite(database: SqliteDatabase): FeedStore {
  database.define(TABLES);
  const born = 'INSERT INTO feed_incarnation VALUES (1, ?) ON CONFLICT DO NOTHING';
  if (database.get<FeedHead>(HEAD) === undefined) {
    database.run(born, newIncarnation());
  }
  return {
    async head() {
      const { incarnation, number } = database.get<FeedHead>(HEAD)!;
      return { incarnation, number: number ?? 0 };
    },
    async append({ number, erasure, rows }) {
      const values = [number, Buffer.from(erasure, 'hex'), encodeFeedRows(rows), number];
      return database.run(APPEND, ...values) === 1;
    },
    async entries(after, limit) {
      return database.all<Stored>(ENTRIES, after, limit).map(toEntry);
    },
    async prune(before) {
      const sql = `DELETE FROM feed_entries WHERE number < ?
        AND number < (SELECT max(number) FROM feed_entries)`;
      database.run(sql, before);
    },
    async register({ id, leaseMs, acknowledged }) {
      database.run('INSERT INTO feed_holders VALUES (?, ?, ?, NULL)', id, leaseMs, acknowledged);
    },
    async announce(id, door) {
      database.run('INSERT OR REPLACE INTO feed_doors VALUES (?, ?)', id, door);
    },
    async holder(id) {
      return database.get<Holder>(`${HOLDERS} WHERE id = ?`, id);
    },
    async holders() {
      return database.all<Holder>(HOLDERS);
    },
    async acknowledge(id, number) {
      database.run(ACKNOWLEDGE, number, id);
    },
    async strike(id, atMs) {
      const sql = 'UPDATE feed_holders SET struck_at_ms = ? WHERE id = ? AND struck_at_ms IS NULL';
      database.run(sql, atMs, id);
    },
    async renew(incarnation = newIncarnation()) {
      database.transaction(() => {
        database.run('UPDATE feed_incarnation SET incarnation = ?', incarnation);
        database.run('DELETE FROM feed_entries');
        database.run('DELETE FROM feed_holders');
        database.run('DELETE FROM feed_doors');
      });
    },
    async remove(id) {
      database.transaction(() => {
        database.run('DELETE FROM feed_holders WHERE id = ?', id);
        database.run('DELETE FROM feed_doors WHERE id = ?', id);
      });
    },
  };
}

function newIncarnation(): string {
  return randomBytes(16).toString('hex');
}

function toEntry(stored: Stored): FeedEntry {
  const erasure = Buffer.from(stored.erasure).toString('hex') as LossId;
  return { number: stored.number, erasure, rows: decodeFeedRows(stored.rows) };
}
