/** Privacy requests in one SQLite table. */
import type { AppId, ErasureId } from '../base/ids.ts';
import type { SqliteDatabase } from '../base/sqlite-database.ts';
import type { PrivacyRequest, RequestKind, RequestStore } from './request-store.ts';

const TABLES = `
  CREATE TABLE IF NOT EXISTS requests (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app TEXT NOT NULL, kind TEXT NOT NULL,
    target TEXT NOT NULL, step TEXT NOT NULL, received_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
  );
  CREATE INDEX IF NOT EXISTS requests_open ON requests (row) WHERE step <> 'done';`;
const ADD = `INSERT INTO requests (id, app, kind, target, step, received_at, changed_at)
  VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
interface Stored {
  id: string;
  app: string;
  kind: string;
  target: string;
  step: string;
  received_at: number;
  changed_at: number;
}

/** Opens the requests' table. */
export function openRequestStoreSqlite(database: SqliteDatabase): RequestStore {
  database.define(TABLES);
  return {
    async add(request) {
      addRequest(database, request);
    },
    async get(id) {
      const row = database.get<Stored>('SELECT * FROM requests WHERE id = ?', id);
      return row && toRequest(row);
    },
    async open(limit, idleSinceMs) {
      const sql = `SELECT * FROM requests WHERE step <> 'done'
        AND (step = 'received' OR changed_at <= ?) ORDER BY row LIMIT ?`;
      return database.all<Stored>(sql, idleSinceMs, limit).map(toRequest);
    },
    async record(id, step, nowMs) {
      const target = step === 'done' ? `, target = '{}'` : '';
      const sql = `UPDATE requests SET step = ?, changed_at = ?${target}
        WHERE id = ? AND step <> 'done'`;
      database.run(sql, step, nowMs, id);
    },
  };
}

/** Writes one request inside the caller's transaction. */
export function addRequest(database: SqliteDatabase, request: PrivacyRequest): void {
  const { id, app, kind, step, receivedAtMs, changedAtMs } = request;
  const target = JSON.stringify(request.target);
  database.run(ADD, id, app, kind, target, step, receivedAtMs, changedAtMs);
}

function toRequest(row: Stored): PrivacyRequest {
  return {
    id: row.id as ErasureId,
    app: row.app as AppId,
    kind: row.kind as RequestKind,
    target: JSON.parse(row.target),
    step: row.step,
    receivedAtMs: row.received_at,
    changedAtMs: row.changed_at,
  };
}
