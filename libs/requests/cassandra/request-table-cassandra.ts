/** Privacy requests in Cassandra: one row each, and lists of those that are open. */

import type { RequestId } from '../../base/ids.ts';
import { type CassandraDatabase, hasCells } from '../../engines/cassandra-database.ts';
import type { CassandraSchema } from '../../engines/cassandra-migrations.ts';
import type { Afterlife, DoneRequest, PrivacyRequest, Signed } from '../request.ts';
import {
  isOpen,
  type StoredAfterlife,
  type StoredRequest,
  toAfterlife,
  toRequest,
} from '../request-rows.ts';
import type { RequestTable } from '../request-table.ts';

/** Tables of requests and their afterlives, applied by `lethe migrate`. */
export const requestSchema: CassandraSchema = {
  area: 'requests',
  steps: [
    [
      `CREATE TABLE IF NOT EXISTS requests (
        id text PRIMARY KEY, app text, kind text, target text, step text, received_at bigint,
        changed_at bigint)`,
      `CREATE TABLE IF NOT EXISTS requests_open (
        one int, received_at bigint, id text, PRIMARY KEY (one, received_at, id))
        WITH gc_grace_seconds = 86400`,
      `CREATE TABLE IF NOT EXISTS request_afterlives (
        id text PRIMARY KEY, app text, kind text, target text, done_at bigint, t1_at bigint,
        reclaimed_at bigint)`,
      `CREATE TABLE IF NOT EXISTS request_afterlives_open (
        one int, id text, PRIMARY KEY (one, id)) WITH gc_grace_seconds = 86400`,
    ],
    ['ALTER TABLE request_afterlives ADD IF NOT EXISTS after_turn bigint'],
    [
      'ALTER TABLE request_afterlives ADD IF NOT EXISTS code text',
      'ALTER TABLE requests ADD IF NOT EXISTS code text',
      'ALTER TABLE request_afterlives ADD IF NOT EXISTS loss text',
      'ALTER TABLE requests ADD IF NOT EXISTS loss text',
    ],
  ],
};

const NAMED = ['id', 'app', 'kind', 'target'] as const;
const GET = 'SELECT * FROM requests WHERE id = ?';
const ADD = `INSERT INTO requests (id, app, kind, target, step, received_at, changed_at, code,
  loss) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`;
const OPEN = 'INSERT INTO requests_open (one, received_at, id) VALUES (0, ?, ?)';
const CLOSE = 'DELETE FROM requests_open WHERE one = 0 AND received_at = ? AND id = ?';
const OPEN_IDS = 'SELECT id, received_at FROM requests_open WHERE one = 0';
const RECORD = `UPDATE requests SET app = ?, kind = ?, target = ?, received_at = ?, loss = ?,
  step = ?, changed_at = ?, code = ? WHERE id = ?
  IF step != 'done' AND received_at >= 0`;
const RECORD_DONE = `UPDATE requests SET step = 'done', changed_at = ?, target = '{}', code = ?,
  loss = null   WHERE id = ?
  IF step != 'done' AND received_at >= 0`;
const RECODE = 'UPDATE requests SET code = ? WHERE id = ? IF EXISTS';
const DROP = `DELETE FROM requests WHERE id = ? IF step != 'done'`;
const AFTERLIFE = 'SELECT * FROM request_afterlives WHERE id = ?';
const ADD_AFTERLIFE = `INSERT INTO request_afterlives (id, app, kind, target, done_at, t1_at,
  reclaimed_at, after_turn, code, loss) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`;
const REPLACE_AFTERLIFE = `UPDATE request_afterlives SET app = ?, kind = ?, target = ?,
  done_at = ?, t1_at = ?, reclaimed_at = ?, after_turn = ?, code = ?, loss = ?
  WHERE id = ? IF code = ?`;
const OPEN_AFTERLIFE = 'INSERT INTO request_afterlives_open (one, id) VALUES (0, ?)';
const CLOSE_AFTERLIFE = 'DELETE FROM request_afterlives_open WHERE one = 0 AND id = ?';
const AFTERLIFE_IDS = 'SELECT id FROM request_afterlives_open WHERE one = 0';
/** Opens the requests' tables; `lethe migrate` made them. */
export function openRequestTableCassandra(database: CassandraDatabase): RequestTable {
  // All of these can be repeated: a step that is recorded twice is the same step.
  const apply = (query: string, ...params: unknown[]) => database.applySettled([{ query, params }]);

  async function get(id: RequestId): Promise<Signed<PrivacyRequest | DoneRequest> | undefined> {
    const row = await database.getSerial<StoredRequest>(GET, id);
    return row && toRequest(row);
  }

  async function afterlife(id: RequestId): Promise<Signed<Afterlife> | undefined> {
    const row = await database.getSerial<StoredAfterlife>(AFTERLIFE, id);
    return row && toAfterlife(row);
  }

  /** Listed before it is there, and as long as it is open: a list may name too much. */
  async function addAfterlife(one: Signed<Afterlife>): Promise<void> {
    const { id, app, kind, doneAtMs, t1AtMs, reclaimedAtMs, afterTurn, code, loss } = one;
    if (isWaiting(one)) await database.run(OPEN_AFTERLIFE, id);
    const reached = [t1AtMs, reclaimedAtMs, afterTurn, code, loss];
    await apply(ADD_AFTERLIFE, id, app, kind, JSON.stringify(one.target), doneAtMs, ...reached);
  }

  return {
    get,
    afterlife,
    addAfterlife,
    async add(request) {
      const { id, app, kind, target, step, receivedAtMs, changedAtMs, code } = request;
      const loss = isOpen(request) ? request.loss : null;
      await database.run(OPEN, receivedAtMs, id);
      const text = JSON.stringify(target);
      await apply(ADD, id, app, kind, text, step, receivedAtMs, changedAtMs, code, loss);
    },
    async open(limit) {
      const found: Signed<PrivacyRequest>[] = [];
      const listed = database.each<{ id: string; received_at: unknown }>(OPEN_IDS);
      for await (const { id, received_at } of listed) {
        const request = await get(id as RequestId);
        if (request?.step === 'done') await database.run(CLOSE, received_at, id);
        if (request === undefined || !isOpen(request)) continue;
        found.push(request);
        if (found.length >= limit) break;
      }
      return found;
    },
    async record(request) {
      const { id, app, kind, receivedAtMs, loss, step, changedAtMs, code } = request;
      if ((await get(id)) === undefined) return false;
      const is = [app, kind, JSON.stringify(request.target), receivedAtMs, loss];
      await apply(RECORD, ...is, step, changedAtMs, code, id);
      return (await get(id)) !== undefined;
    },
    async finish(done, begun) {
      const request = await get(done.id);
      if (request === undefined) return;
      await addAfterlife(begun);
      if (!isOpen(request)) return;
      await apply(RECORD_DONE, done.changedAtMs, done.code, done.id);
      await database.run(CLOSE, request.receivedAtMs, done.id);
    },
    async drop(id) {
      const request = await get(id);
      if (request === undefined || request.step === 'done') return;
      await apply(DROP, id);
      await database.run(CLOSE, request.receivedAtMs, id);
    },
    async afterlives() {
      const ids = await database.all<{ id: string }>(AFTERLIFE_IDS);
      const found = await database.mapAll(ids, ({ id }) => afterlife(id as RequestId));
      return found.filter((one) => one !== undefined).filter(isWaiting);
    },
    async replaceAfterlife(read, next) {
      const { id, app, kind, doneAtMs, t1AtMs, reclaimedAtMs, afterTurn, code, loss } = next;
      const reached = [doneAtMs, t1AtMs, reclaimedAtMs, afterTurn, code, loss];
      const values = [app, kind, JSON.stringify(next.target), ...reached];
      const before = read.code === '' ? null : read.code;
      const statement = { query: REPLACE_AFTERLIFE, params: [...values, id, before] };
      const isDone = await database.applySettled([statement], async () => {
        return (await afterlife(id))?.code === code;
      });
      if (isDone) await database.run(isWaiting(next) ? OPEN_AFTERLIFE : CLOSE_AFTERLIFE, id);
      return isDone;
    },
    recode: async (id, code) => void (await apply(RECODE, code, id)),
    async *all() {
      for await (const row of database.each<StoredRequest>('SELECT * FROM requests')) {
        if (hasCells(row, [...NAMED, 'step', 'received_at', 'changed_at'])) yield toRequest(row);
      }
    },
    async *allAfterlives() {
      for await (const row of database.each<StoredAfterlife>('SELECT * FROM request_afterlives')) {
        if (hasCells(row, [...NAMED, 'done_at'])) yield toAfterlife(row);
      }
    },
  };
}

function isWaiting({ t1AtMs, reclaimedAtMs }: Afterlife): boolean {
  return t1AtMs === null || reclaimedAtMs === null;
}
