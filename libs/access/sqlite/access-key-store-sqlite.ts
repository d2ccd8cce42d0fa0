/** Access keys in one SQLite table. */
import type { AppId } from '../../base/ids.ts';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import type { AccessKeyRow, AccessKeyStore, AccessScope } from '../access-key-store.ts';

const TABLES = `CREATE TABLE IF NOT EXISTS access_keys (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app TEXT, scope TEXT NOT NULL,
    wrapped_secret BLOB NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER
  )`;

interface Stored {
  id: string;
  app: string | null;
  scope: string;
  wrapped_secret: Uint8Array;
  created_at: number;
  revoked_at: number | null;
}

/** Opens the keys' table. */
export function openAccessKeyStoreSqlite(database: SqliteDatabase): AccessKeyStore {
  database.define(TABLES);
  return {
    async add(row) {
      const sql = `INSERT INTO access_keys (id, app, scope, wrapped_secret, created_at)
        VALUES (?, ?, ?, ?, ?)`;
      database.run(sql, row.id, row.app, row.scope, row.wrappedSecret, row.createdAtMs);
    },
    async find(id) {
      const row = database.get<Stored>('SELECT * FROM access_keys WHERE id = ?', id);
      return row && toRow(row);
    },
    async list(app) {
      const sql = 'SELECT * FROM access_keys WHERE app IS ? ORDER BY row';
      return database.all<Stored>(sql, app).map(toRow);
    },
    async revoke(id, nowMs) {
      const sql = 'UPDATE access_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL';
      return database.run(sql, nowMs, id) === 1;
    },
    async removeAll(app) {
      database.run('DELETE FROM access_keys WHERE app = ?', app);
    },
    async *all() {
      for (const row of database.all<Stored>('SELECT * FROM access_keys')) yield toRow(row);
    },
  };
}

function toRow(row: Stored): AccessKeyRow {
  return {
    id: row.id,
    app: row.app as AppId | null,
    scope: row.scope as AccessScope,
    wrappedSecret: Buffer.from(row.wrapped_secret),
    createdAtMs: row.created_at,
    revokedAtMs: row.revoked_at,
  };
}
