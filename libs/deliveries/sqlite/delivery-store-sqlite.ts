/** The delivery ledger's rows in one SQLite table. */
import type { AppId, IndexId } from '../../base/ids.ts';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import type { DeliveryRow, DeliveryStore, DeliveryWrite } from '../delivery-store.ts';

const TABLES = `
  CREATE TABLE IF NOT EXISTS deliveries (
    row INTEGER PRIMARY KEY, key BLOB NOT NULL, day INTEGER NOT NULL,
    revision INTEGER NOT NULL, wrapped BLOB NOT NULL
  );
  CREATE UNIQUE INDEX IF NOT EXISTS deliveries_key ON deliveries (key);
  CREATE INDEX IF NOT EXISTS deliveries_day ON deliveries (day);`;
const FIND = 'SELECT key, day, revision, wrapped FROM deliveries WHERE key IN (KEYS)';
const INSERT = `INSERT INTO deliveries (key, day, revision, wrapped) VALUES (?, ?, 1, ?)
  ON CONFLICT DO NOTHING`;
const UPDATE = `UPDATE deliveries SET day = ?, revision = ?, wrapped = ?
  WHERE key = ? AND revision = ?`;
const OLDER = `SELECT key, day, revision, wrapped FROM deliveries
  WHERE day < ? AND key > ? AND key < ? LIMIT ?`;
const PAGE = 'SELECT * FROM deliveries WHERE row > ? ORDER BY row LIMIT 500';
const LOAD = `INSERT INTO deliveries (key, day, revision, wrapped) VALUES (?, ?, ?, ?)
  ON CONFLICT DO NOTHING`;

interface Stored {
  key: Uint8Array;
  day: number;
  revision: number;
  wrapped: Uint8Array;
}

/** Opens the ledger's table. */
export function openDeliveryStoreSqlite(database: SqliteDatabase): DeliveryStore {
  database.define(TABLES);
  return {
    async find(app, ids) {
      const keys = ids.map((id) => storedKey(app, id));
      const rows = database.allIn<Stored>(FIND, keys).map(toRow);
      const byId = new Map(rows.map((row) => [row.id, row]));
      return ids.map((id) => byId.get(id));
    },
    async put(app, rows) {
      return database.transaction(() => rows.map((row) => putDelivery(database, app, row)));
    },
    // Ledger and log lie in one file: a row is there only when its events are.
    async settle() {},
    async olderThan(app, day, limit) {
      const from = Buffer.from(app, 'hex');
      const to = Buffer.concat([from, Buffer.alloc(17, 0xff)]);
      const rows = database.all<Stored>(OLDER, day, from, to, limit);
      return rows.map(toRow);
    },
    async remove(app, ids) {
      database.transaction(() => {
        for (const id of ids) {
          database.run('DELETE FROM deliveries WHERE key = ?', storedKey(app, id));
        }
      });
    },
    async *all() {
      for (let after = 0; ; ) {
        const rows = database.all<Stored & { row: number }>(PAGE, after);
        for (const row of rows) {
          const app = Buffer.from(row.key).toString('hex', 0, 16) as AppId;
          yield { app, row: toRow(row) };
        }
        if (rows.length === 0) return;
        after = rows.at(-1)!.row;
      }
    },
    async load(app, rows) {
      database.transaction(() => {
        for (const { id, day, revision, wrapped } of rows) {
          database.run(LOAD, storedKey(app, id), day, revision, wrapped);
        }
      });
    },
  };
}

/** Writes one row inside the caller's transaction; false where another writer was first. */
export function putDelivery(database: SqliteDatabase, app: AppId, row: DeliveryWrite): boolean {
  const key = storedKey(app, row.id);
  const { day, revision, wrapped } = row;
  if (revision === 1) return database.run(INSERT, key, day, wrapped) === 1;
  return database.run(UPDATE, day, revision, wrapped, key, revision - 1) === 1;
}

/** Is there such a row, as the caller's transaction sees it? */
export function hasDelivery(database: SqliteDatabase, app: AppId, id: IndexId): boolean {
  return database.get('SELECT 1 FROM deliveries WHERE key = ?', storedKey(app, id)) !== undefined;
}

function storedKey(app: AppId, id: IndexId): Buffer {
  return Buffer.from(app + id, 'hex');
}

function toRow(row: Stored): DeliveryRow {
  const { day, revision, wrapped } = row;
  const id = Buffer.from(row.key).toString('hex', 16) as IndexId;
  return { id, day, revision, wrapped: Buffer.from(wrapped), isSettled: true };
}
