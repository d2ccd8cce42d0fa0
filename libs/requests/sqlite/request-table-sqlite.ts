/** Privacy requests in one SQLite table. */
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import type { Afterlife, DoneRequest, PrivacyRequest, Signed } from '../request.ts';
import {
  isOpen,
  type StoredAfterlife,
  type StoredRequest,
  toAfterlife,
  toRequest,
} from '../request-rows.ts';
import type { RequestTable } from '../request-table.ts';

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
const ADD = `INSERT INTO requests (id, app, kind, target, step, received_at, changed_at, code,
  loss) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const RECORD = `UPDATE requests SET app = ?, kind = ?, target = ?, received_at = ?, loss = ?,
  step = ?, changed_at = ?, code = ? WHERE id = ? AND step <> 'done'`;
const IS_THERE = 'SELECT 1 FROM requests WHERE id = ?';
const FINISH = `UPDATE requests
  SET step = 'done', target = '{}', loss = NULL, changed_at = ?, code = ?
  WHERE id = ? AND step <> 'done'`;
const ADD_AFTERLIFE = `INSERT INTO request_afterlives (id, app, kind, target, done_at, t1_at,
  reclaimed_at, after_turn, code, loss) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT DO NOTHING`;
const REPLACE_AFTERLIFE = `UPDATE request_afterlives SET app = ?, kind = ?, target = ?,
  done_at = ?, t1_at = ?, reclaimed_at = ?, after_turn = ?, code = ?, loss = ?
  WHERE id = ? AND ifnull(code, '') = ?`;

/** Opens the requests' tables. */
export function openRequestTableSqlite(database: SqliteDatabase): RequestTable {
  database.define(TABLES);
  database.addColumn('request_afterlives', 'after_turn INTEGER');
  database.addColumn('request_afterlives', 'code TEXT');
  database.addColumn('requests', 'code TEXT');
  database.addColumn('request_afterlives', 'loss TEXT');
  database.addColumn('requests', 'loss TEXT');
  return {
    async add(request) {
      addRequest(database, request);
    },
    async get(id) {
      const row = database.get<StoredRequest>('SELECT * FROM requests WHERE id = ?', id);
      return row && toRequest(row);
    },
    async open(limit) {
      const sql = `SELECT * FROM requests WHERE step <> 'done' ORDER BY row LIMIT ?`;
      return database.all<StoredRequest>(sql, limit).map(toRequest).filter(isOpen);
    },
    async record(request) {
      const { id, app, kind, receivedAtMs, loss, step, changedAtMs, code } = request;
      const is = [app, kind, JSON.stringify(request.target), receivedAtMs, loss];
      return database.transaction(() => {
        database.run(RECORD, ...is, step, changedAtMs, code, id);
        return database.get(IS_THERE, id) !== undefined;
      });
    },
    async finish(done, afterlife) {
      database.transaction(() => {
        if (database.get(IS_THERE, done.id) === undefined) return;
        addAfterlife(afterlife);
        database.run(FINISH, done.changedAtMs, done.code, done.id);
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
    async addAfterlife(afterlife) {
      addAfterlife(afterlife);
    },
    async replaceAfterlife(read, next) {
      const { app, kind, doneAtMs, t1AtMs, reclaimedAtMs, afterTurn, code, loss } = next;
      const reached = [doneAtMs, t1AtMs, reclaimedAtMs, afterTurn, code, loss];
      const values = [app, kind, JSON.stringify(next.target), ...reached];
      return database.run(REPLACE_AFTERLIFE, ...values, read.id, read.code) === 1;
    },
    async recode(id, code) {
      database.run('UPDATE requests SET code = ? WHERE id = ?', code, id);
    },
    async *all() {
      for (const row of database.all<StoredRequest>('SELECT * FROM requests')) yield toRequest(row);
    },
    async *allAfterlives() {
      const sql = 'SELECT * FROM request_afterlives';
      for (const row of database.all<StoredAfterlife>(sql)) yield toAfterlife(row);
    },
  };

  function addAfterlife(one: Signed<Afterlife>): void {
    const { id, app, kind, doneAtMs, t1AtMs, reclaimedAtMs, afterTurn, code, loss } = one;
    const target = JSON.stringify(one.target);
    const reached = [t1AtMs, reclaimedAtMs, afterTurn, code, loss];
    database.run(ADD_AFTERLIFE, id, app, kind, target, doneAtMs, ...reached);
  }
}

/** Writes one request inside the caller's transaction. */
export function addRequest(
  database: SqliteDatabase,
  request: Signed<PrivacyRequest | DoneRequest>,
): void {
  const { id, app, kind, step, receivedAtMs, changedAtMs, code } = request;
  const target = JSON.stringify(request.target);
  const loss = isOpen(request) ? request.loss : null;
  database.run(ADD, id, app, kind, target, step, receivedAtMs, changedAtMs, code, loss);
}
