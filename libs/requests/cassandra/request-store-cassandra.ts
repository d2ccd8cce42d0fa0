/** Privacy requests in Cassandra: one row each, and lists of those that are open. */

import type { LossId } from '../../base/ids.ts';
import type { CassandraDatabase } from '../../engines/cassandra-database.ts';
import type { CassandraSchema } from '../../engines/cassandra-migrations.ts';
import type { Afterlife, DoneRequest, PrivacyRequest } from '../request.ts';
import {
  isOpen,
  type StoredAfterlife,
  type StoredRequest,
  toAfterlife,
  toRequest,
} from '../request-rows.ts';
import type { RequestStore } from '../request-store.ts';

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
  ],
};

const GET = 'SELECT * FROM requests WHERE id = ?';
const ADD = `INSERT INTO requests (id, app, kind, target, step, received_at, changed_at)
  VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`;
const OPEN = 'INSERT INTO requests_open (one, received_at, id) VALUES (0, ?, ?)';
const CLOSE = 'DELETE FROM requests_open WHERE one = 0 AND received_at = ? AND id = ?';
const OPEN_IDS = 'SELECT id, received_at FROM requests_open WHERE one = 0';
const RECORD = `UPDATE requests SET step = ?, changed_at = ? WHERE id = ?
  IF step != 'done' AND received_at >= 0`;
const RECORD_DONE = `UPDATE requests SET step = 'done', changed_at = ?, target = '{}' WHERE id = ?
  IF step != 'done' AND received_at >= 0`;
const DROP = `DELETE FROM requests WHERE id = ? IF step != 'done'`;
const AFTERLIFE = 'SELECT * FROM request_afterlives WHERE id = ?';
const BEGIN_AFTERLIFE = `INSERT INTO request_afterlives (id, app, kind, target, done_at,
  after_turn) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS`;
const LOAD_AFTERLIFE = `INSERT INTO request_afterlives (id, app, kind, target, done_at, t1_at,
  reclaimed_at, after_turn) VALUES (?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS`;
const OPEN_AFTERLIFE = 'INSERT INTO request_afterlives_open (one, id) VALUES (0, ?)';
const CLOSE_AFTERLIFE = 'DELETE FROM request_afterlives_open WHERE one = 0 AND id = ?';
const AFTERLIFE_IDS = 'SELECT id FROM request_afterlives_open WHERE one = 0';
const REACH_T1 =
  'UPDATE request_afterlives SET t1_at = ? WHERE id = ? IF t1_at = null AND done_at > 0';
const ENDED_BY = 'UPDATE request_afterlives SET done_at = ? WHERE id = ? IF done_at > ?';
const REACH_RECLAIM = `UPDATE request_afterlives SET reclaimed_at = ?, target = '{}' WHERE id = ?
  IF reclaimed_at = null AND done_at > 0`;

/** Opens the requests' tables; `lethe migrate` made them. */
export function openRequestStoreCassandra(database: CassandraDatabase): RequestStore {
  // All of these can be repeated: a step that is recorded twice is the same step.
  const apply = (query: string, ...params: unknown[]) => database.applySettled([{ query, params }]);

  async function get(id: LossId): Promise<PrivacyRequest | DoneRequest | undefined> {
    const row = await database.getSerial<StoredRequest>(GET, id);
    return row && toRequest(row);
  }

  async function afterlife(id: LossId): Promise<Afterlife | undefined> {
    const row = await database.getSerial<StoredAfterlife>(AFTERLIFE, id);
    return row && toAfterlife(row);
  }

  /** Listed before it is there, and as long as it is open: a list may name too much. */
  async function beginAfterlife(
    { id, app, kind, target }: PrivacyRequest,
    { nowMs, keepsTarget, afterTurn }: Parameters<RequestStore['finish']>[1],
  ): Promise<void> {
    const kept = keepsTarget ? JSON.stringify(target) : '{}';
    await database.run(OPEN_AFTERLIFE, id);
    await apply(BEGIN_AFTERLIFE, id, app, kind, kept, nowMs, afterTurn);
  }

  return {
    get,
    afterlife,
    async add({ id, app, kind, target, step, receivedAtMs, changedAtMs }) {
      await database.run(OPEN, receivedAtMs, id);
      await apply(ADD, id, app, kind, JSON.stringify(target), step, receivedAtMs, changedAtMs);
    },
    async open(limit, idleSinceMs) {
      const found: PrivacyRequest[] = [];
      const listed = database.each<{ id: string; received_at: unknown }>(OPEN_IDS);
      for await (const { id, received_at } of listed) {
        const request = await get(id as LossId);
        if (request?.step === 'done') await database.run(CLOSE, received_at, id);
        if (request === undefined || !isOpen(request)) continue;
        if (request.step === 'received' || request.changedAtMs <= idleSinceMs) found.push(request);
        if (found.length >= limit) break;
      }
      return found;
    },
    async record(id, step, nowMs) {
      if ((await get(id)) === undefined) return false;
      await apply(RECORD, step, nowMs, id);
      return (await get(id)) !== undefined;
    },
    async finish(id, ended) {
      const request = await get(id);
      if (request === undefined || !isOpen(request)) return;
      await beginAfterlife(request, ended);
      await apply(RECORD_DONE, ended.nowMs, id);
      await database.run(CLOSE, request.receivedAtMs, id);
    },
    async drop(id) {
      const request = await get(id);
      if (request === undefined || request.step === 'done') return;
      await apply(DROP, id);
      await database.run(CLOSE, request.receivedAtMs, id);
    },
    async afterlives() {
      const ids = await database.all<{ id: string }>(AFTERLIFE_IDS);
      const found = await database.mapAll(ids, ({ id }) => afterlife(id as LossId));
      return found.filter((one) => one !== undefined).filter(isWaiting);
    },
    async reach(id, { t1AtMs, reclaimedAtMs }) {
      if (t1AtMs !== undefined) await apply(REACH_T1, t1AtMs, id);
      if (reclaimedAtMs !== undefined) await apply(REACH_RECLAIM, reclaimedAtMs, id);
      const now = await afterlife(id);
      if (now !== undefined && !isWaiting(now)) await database.run(CLOSE_AFTERLIFE, id);
    },
    async endedBy(id, atMs) {
      await apply(ENDED_BY, atMs, id, atMs);
    },
    all: () => allOf(database, 'requests', toRequest),
    allAfterlives: () => allOf(database, 'request_afterlives', toAfterlife),
    async loadAfterlife(one) {
      const { id, app, kind, doneAtMs, t1AtMs, reclaimedAtMs, afterTurn } = one;
      const target = JSON.stringify(one.target);
      if (isWaiting(one)) await database.run(OPEN_AFTERLIFE, id);
      const reached = [t1AtMs, reclaimedAtMs, afterTurn];
      await apply(LOAD_AFTERLIFE, id, app, kind, target, doneAtMs, ...reached);
    },
  };
}

async function* allOf<Row, Item>(
  database: CassandraDatabase,
  table: string,
  read: (row: Row) => Item,
): AsyncIterable<Item> {
  for await (const row of database.each<Row>(`SELECT * FROM ${table}`)) yield read(row);
}

function isWaiting({ t1AtMs, reclaimedAtMs }: Afterlife): boolean {
  return t1AtMs === null || reclaimedAtMs === null;
}
