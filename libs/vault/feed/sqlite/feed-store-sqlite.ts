/** The feed in the vault's SQLite file. */
import { randomBytes } from 'node:crypto';
import type { LossId } from '../../../base/ids.ts';
import type { SqliteDatabase } from '../../../engines/sqlite-database.ts';
import { decodeFeedRows, encodeFeedRows } from '../feed-rows.ts';
import type {
  FeedEntry,
  FeedHead,
  FeedStore,
  HolderRowWithDoor,
  RosterRow,
} from '../feed-store.ts';

const TABLES = `
  CREATE TABLE IF NOT EXISTS feed_incarnation (
    one INTEGER PRIMARY KEY CHECK (one = 1), incarnation TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS feed_entries (
    number INTEGER PRIMARY KEY, erasure BLOB NOT NULL, rows BLOB NOT NULL
  );
  CREATE TABLE IF NOT EXISTS feed_acknowledgements (
    id TEXT PRIMARY KEY, acknowledged INTEGER NOT NULL, entry_code TEXT NOT NULL,
    code TEXT NOT NULL, door TEXT
  );
  CREATE TABLE IF NOT EXISTS feed_roster (
    one INTEGER PRIMARY KEY CHECK (one = 1), text TEXT NOT NULL, code TEXT NOT NULL
  );
  -- As the first version kept holders: without codes.
  DROP TABLE IF EXISTS feed_holders;
  DROP TABLE IF EXISTS feed_doors;`;
const HEAD = `SELECT incarnation, number, code FROM feed_incarnation
  LEFT JOIN (SELECT number, code FROM feed_entries ORDER BY number DESC LIMIT 1)`;
const APPEND = `INSERT INTO feed_entries (number, erasure, rows, code)
  SELECT ?, ?, ?, ? WHERE ? = 1 + (SELECT coalesce(max(number), 0) FROM feed_entries)`;
const ENTRIES = 'SELECT * FROM feed_entries WHERE number > ? ORDER BY number LIMIT ?';
const HOLDERS = 'SELECT id, acknowledged, entry_code, code, door FROM feed_acknowledgements';
const ADD_HOLDER = `INSERT INTO feed_acknowledgements (id, acknowledged, entry_code, code)
  VALUES (?, ?, ?, ?)`;
const ACKNOWLEDGE = `UPDATE feed_acknowledgements SET acknowledged = ?, entry_code = ?, code = ?
  WHERE id = ?`;
const ADD_ROSTER = 'INSERT INTO feed_roster VALUES (1, ?, ?) ON CONFLICT DO NOTHING';
const REPLACE_ROSTER = `UPDATE feed_roster SET text = ?, code = ?
  WHERE text IS ? AND code IS ?`;

interface Stored {
  number: number;
  erasure: Uint8Array;
  rows: Uint8Array;
  code: string;
}

type StoredHolder = Omit<HolderRowWithDoor, 'entryCode'> & { readonly entry_code: string };

/** Opens the feed's tables. */
export function openFeedStoreSqlite(database: SqliteDatabase): FeedStore {
  database.define(TABLES);
  database.addColumn('feed_entries', `code TEXT NOT NULL DEFAULT ''`);
  const born = 'INSERT INTO feed_incarnation VALUES (1, ?) ON CONFLICT DO NOTHING';
  if (database.get<FeedHead>(HEAD) === undefined) {
    database.run(born, newIncarnation());
  }
  return {
    async head() {
      const { incarnation, number, code } = database.get<FeedHead>(HEAD)!;
      return { incarnation, number: number ?? 0, code: code ?? '' };
    },
    async append({ number, erasure, rows, code }) {
      const values = [number, Buffer.from(erasure, 'hex'), encodeFeedRows(rows), code, number];
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
    async addHolder({ id, acknowledged, entryCode, code }) {
      database.run(ADD_HOLDER, id, acknowledged, entryCode, code);
    },
    async acknowledge({ id, acknowledged, entryCode, code }) {
      database.run(ACKNOWLEDGE, acknowledged, entryCode, code, id);
    },
    async announce(id, door) {
      database.run('UPDATE feed_acknowledgements SET door = ? WHERE id = ?', door, id);
    },
    async holders() {
      return database
        .all<StoredHolder>(HOLDERS)
        .map(({ entry_code: entryCode, ...row }) => ({ ...row, entryCode }));
    },
    async removeHolder(id) {
      database.run('DELETE FROM feed_acknowledgements WHERE id = ?', id);
    },
    async roster() {
      return database.get<RosterRow>('SELECT text, code FROM feed_roster');
    },
    async replaceRoster(read, { text, code }) {
      if (read === undefined) return database.run(ADD_ROSTER, text, code) === 1;
      return database.run(REPLACE_ROSTER, text, code, read.text, read.code) === 1;
    },
    async renew(incarnation = newIncarnation()) {
      database.transaction(() => {
        database.run('UPDATE feed_incarnation SET incarnation = ?', incarnation);
        database.run('DELETE FROM feed_entries');
        database.run('DELETE FROM feed_acknowledgements');
        database.run('DELETE FROM feed_roster');
      });
    },
  };
}

function newIncarnation(): string {
  return randomBytes(16).toString('hex');
}

function toEntry(stored: Stored): FeedEntry {
  const erasure = Buffer.from(stored.erasure).toString('hex') as LossId;
  const { number, code } = stored;
  return { number, erasure, rows: decodeFeedRows(stored.rows), code };
}
