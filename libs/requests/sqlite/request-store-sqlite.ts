/** Privacy requests in one SQLite table. */
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import type { DoneRequest, PrivacyRequest } from '../request.ts';
import {
  isOpen,
  type StoredAfterlife,
  type StoredRequest,
  toAfterlife,
  toRequest,
} from '../request-rows.ts';
import type { RequestStore } from '../request-store.ts';

const TABLES = `
  CREATE TABLE IF NOT EXISTS requests (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app TEXT NOT NULL, kind TEXT NOT NULL,
    target TEXT NOT NULL, step TEXT NOT NULL, received_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
  );
  CREATE INDEX IF NOT EXISTS requests_open ON requests (row) WHERE step <> 'done';
  CREATE TABLE IF NOT EXISTS request_afterlives (
    row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app TEXT NOT NULL, kind TEXT NOT NULL,
    target TEXT NOT NULL, done_at INTEGER NOT NULL, t1_at INTEGER, reclaimed_at INTEGER
  );
  CREATE INDEX IF NOT EXISTS request_afterlives_open ON request_afterlives (row)
    WHERE t1_at IS NULL OR reclaimed_at IS NULL;`;
const ADD = `INSERT INTO requests (id, app, kind, target, step, received_at, changed_at)
  VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const BEGIN_AFTERLIFE = `INSERT INTO request_afterlives
  (id, app, kind, target, done_at, after_turn)
  SELECT id, app, kind, CASE WHEN ?1 THEN target ELSE '{}' END, ?2, ?3
  FROM requests WHERE id = ?4 AND step <> 'done' ON CONFLICT DO NOTHING`;
const RECORD = `UPDATE requests SET step = ?, changed_at = ? WHERE id = ? AND step <> 'done'`;
const FINISH = `UPDATE requests SET step = 'done', target = '{}', changed_at = ?
  WHERE id = ? AND step <> 'done'`;
const LOAD_AFTERLIFE = `INSERT INTO request_afterlives (id, app, kind, target, done_at, t1_at,
  reclaimed_at, after_turn) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const REACH = `UPDATE request_afterlives SET t1_at = coalesce(t1_at, ?1),
  reclaimed_at = coalesce(reclaimed_at, ?2),
  target = CASE WHEN ?2 IS NULL THEN target ELSE '{}' END WHERE id = ?3`;

/** Opens the requests' tables. */
export function openRequestStoreSqlite(database: SqliteDatabase): RequestStore {
  database.define(TABLES);
  database.addColumn('request_afterlives', 'after_turn INTEGER');
  return {
    async add(request) {
      addRequest(database, request);
    },
    async get(id) {
      const row = database.get<StoredRequest>('SELECT * FROM requests WHERE id = ?', id);
      return row && toRequest(row);
    },
    async open(limit, idleSinceMs) {
      const sql = `SELECT * FROM requests WHERE step <> 'done'
        AND (step = 'received' OR changed_at <= ?) ORDER BY row LIMIT ?`;
      return database.all<StoredRequest>(sql, idleSinceMs, limit).map(toRequest).filter(isOpen);
    },
    async record(id, step, nowMs) {
      return database.transaction(() => {
        database.run(RECORD, step, nowMs, id);
        return database.get('SELECT 1 FROM requests WHERE id = ?', id) !== undefined;
      });
    },
    async finish(id, { nowMs, keepsTarget, afterTurn }) {
      database.transaction(() => {
        database.run(BEGIN_AFTERLIFE, keepsTarget ? 1 : 0, nowMs, afterTurn, id);
        database.run(FINISH, nowMs, id);
      });
    },
    async drop(id) {
      database.run(`DELETE FROM requests WHERE id = ? AND step <> 'done'`, id);
    },
    async afterlives() {
      const sql = 'SELECT * FROM request_afterlives WHERE t1_at IS NULL OR reclaimed_at IS NULL';
      return database.all<StoredAfterlife>(sql).map(toAfterlife);
    },
    async afterlife(id) {
      const sql = 'SELECT * FROM request_afterlives WHERE id = ?';
      const row = database.get<StoredAfterlife>(sql, id);
      return row && toAfterlife(row);
    },
    async reach(id, { t1AtMs = null, reclaimedAtMs = null }) {
      database.run(REACH, t1AtMs, reclaimedAtMs, id);
    },
    async endedBy(id, atMs) {
      const sql = 'UPDATE request_afterlives SET done_at = min(done_at, ?) WHERE id = ?';
      database.run(sql, atMs, id);
    },
    async *all() {
      for (const row of database.all<StoredRequest>('SELECT * FROM requests')) yield toRequest(row);
    },
    async *allAfterlives() {
      const sql = 'SELECT * FROM request_afterlives';
      for (const row of database.all<StoredAfterlife>(sql)) yield toAfterlife(row);
    },
    async loadAfterlife(one) {
      const { id, app, kind, doneAtMs, t1AtMs, reclaimedAtMs, afterTurn } = one;
      const target = JSON.stringify(one.target);
      const reached = [t1AtMs, reclaimedAtMs, afterTurn];
      database.run(LOAD_AFTERLIFE, id, app, kind, target, doneAtMs, ...reached);
    },
  };
}

/** Writes one request inside the caller's transaction. */
export function addRequest(database: SqliteDatabase, request: PrivacyRequest | DoneRequest): void {
  const { id, app, kind, step, receivedAtMs, changedAtMs } = request;
  const target = JSON.stringify(request.target);
  database.run(ADD, id, app, kind, target, step, receivedAtMs, changedAtMs);
}
