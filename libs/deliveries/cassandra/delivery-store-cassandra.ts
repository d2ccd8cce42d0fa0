/** The delivery ledger's rows in Cassandra: each its own partition, listed by day for sweeping. */

import { hexToBytes } from '../../base/hex.ts';
import type { AppId, IndexId } from '../../base/ids.ts';
import { type CassandraDatabase, hasCells } from '../../engines/cassandra-database.ts';
import type { CassandraSchema } from '../../engines/cassandra-migrations.ts';
import type { DeliveryRow, DeliveryStore, DeliveryWrite } from '../delivery-store.ts';

const SHARDS = 16;
const DAYS_LOOKED_BACK = 1_000;

/** Tables of the delivery ledger, applied by `lethe migrate`. */
export const deliverySchema: CassandraSchema = {
  area: 'deliveries',
  steps: [
    [
      `CREATE TABLE IF NOT EXISTS deliveries (
        app blob, id blob, day int, revision int, wrapped blob, settled int,
        PRIMARY KEY ((app, id))) WITH gc_grace_seconds = 86400`,
      `CREATE TABLE IF NOT EXISTS delivery_days (
        app blob, day int, shard int, id blob, PRIMARY KEY ((app, day, shard), id))
        WITH gc_grace_seconds = 86400`,
      `CREATE TABLE IF NOT EXISTS delivery_days_used (
        app blob, day int, PRIMARY KEY (app, day)) WITH gc_grace_seconds = 86400`,
    ],
  ],
};

const FIND = 'SELECT id, day, revision, wrapped, settled FROM deliveries WHERE app = ? AND id = ?';
const INSERT = `INSERT INTO deliveries (app, id, day, revision, wrapped) VALUES (?, ?, ?, 1, ?)
  IF NOT EXISTS`;
const LOAD = `INSERT INTO deliveries (app, id, day, revision, wrapped) VALUES (?, ?, ?, ?, ?)
  IF NOT EXISTS`;
const UPDATE = `UPDATE deliveries SET day = ?, revision = ?, wrapped = ? WHERE app = ? AND id = ?
  IF revision = ?`;
const REMOVE = 'DELETE FROM deliveries WHERE app = ? AND id = ? IF EXISTS';
const LIST = 'INSERT INTO delivery_days (app, day, shard, id) VALUES (?, ?, ?, ?)';
const UNLIST = 'DELETE FROM delivery_days WHERE app = ? AND day = ? AND shard = ? AND id = ?';
const USE_DAY = 'INSERT INTO delivery_days_used (app, day) VALUES (?, ?)';
const USED_DAYS = `SELECT day FROM delivery_days_used WHERE app = ? AND day < ? AND day >= ?`;
const LISTED = 'SELECT id FROM delivery_days WHERE app = ? AND day = ? AND shard = ? LIMIT ?';
// Never taken back by a clock that is behind: a revision is settled only once it was said of it.
const SETTLE = 'UPDATE deliveries SET settled = ? WHERE app = ? AND id = ?';

interface Stored {
  id: Buffer;
  day: number;
  revision: number;
  wrapped: Buffer;
  settled: number | null;
}

/** Opens the ledger's tables; `lethe migrate` made them. */
export function openDeliveryStoreCassandra(database: CassandraDatabase): DeliveryStore {
  const usedDays = new Set<string>();

  async function read(app: AppId, id: IndexId): Promise<DeliveryRow | undefined> {
    const row = await database.get<Stored>(FIND, hexToBytes(app), hexToBytes(id));
    return row && toRow(row);
  }

  /** Lists a row by its day before it is there: a list may name too much, never too little. */
  async function list(app: AppId, { id, day }: DeliveryWrite): Promise<void> {
    const name = `${app} ${day}`;
    if (!usedDays.has(name)) await database.run(USE_DAY, hexToBytes(app), day);
    usedDays.add(name);
    await database.run(LIST, hexToBytes(app), day, shardOf(id), hexToBytes(id));
  }

  async function put(app: AppId, row: DeliveryWrite): Promise<boolean> {
    await list(app, row);
    const { id, day, revision, wrapped } = row;
    const statement =
      revision === 1
        ? { query: INSERT, params: [hexToBytes(app), hexToBytes(id), day, wrapped] }
        : {
            query: UPDATE,
            params: [day, revision, wrapped, hexToBytes(app), hexToBytes(id), revision - 1],
          };
    return database.applySettled([statement], async () => {
      const found = await database.getSerial<Stored>(FIND, hexToBytes(app), hexToBytes(id));
      return found?.wrapped.equals(wrapped) === true;
    });
  }

  return {
    find: (app, ids) => database.mapAll(ids, (id) => read(app, id)),
    put: (app, rows) => database.mapAll(rows, (row) => put(app, row)),
    async settle(app, rows) {
      const params = ({ id, revision }: DeliveryWrite) => [
        revision,
        hexToBytes(app),
        hexToBytes(id),
      ];
      await database.runAll(rows.map((row) => ({ query: SETTLE, params: params(row) })));
    },
    async olderThan(app, day, limit) {
      const found: DeliveryRow[] = [];
      for await (const listed of listedBefore(database, { app, day, limit })) {
        const row = await read(app, listed.id);
        // It was written anew on a later day, or is gone: only its old listing is left.
        if (row === undefined || row.day !== listed.day) {
          const { id } = listed;
          await database.run(UNLIST, hexToBytes(app), listed.day, shardOf(id), hexToBytes(id));
        } else found.push(row);
        if (found.length >= limit) break;
      }
      return found;
    },
    async remove(app, ids) {
      await database.mapAll(ids, async (id) => {
        const row = await read(app, id);
        if (row === undefined) return;
        const statement = { query: REMOVE, params: [hexToBytes(app), hexToBytes(id)] };
        await database.applySettled([statement]);
        await database.run(UNLIST, hexToBytes(app), row.day, shardOf(id), hexToBytes(id));
      });
    },
    async *all() {
      const rows = database.each<Stored & { app: Buffer }>('SELECT * FROM deliveries');
      for await (const row of rows) {
        if (!hasCells(row, ['day', 'revision', 'wrapped'])) continue;
        yield { app: row.app.toString('hex') as AppId, row: toRow(row) };
      }
    },
    async load(app, rows) {
      await database.mapAll(rows, async (row) => {
        await list(app, row);
        const { id, day, revision, wrapped, isSettled } = row;
        const params = [hexToBytes(app), hexToBytes(id), day, revision, wrapped];
        await database.applySettled([{ query: LOAD, params }]);
        if (isSettled) await database.run(SETTLE, revision, hexToBytes(app), hexToBytes(id));
      });
    },
  };
}

/** What is listed under days before one; days of which nothing is left are unlisted. */
async function* listedBefore(
  database: CassandraDatabase,
  { app, day, limit }: { app: AppId; day: number; limit: number },
) {
  const from = day - DAYS_LOOKED_BACK;
  const days = await database.all<{ day: number }>(USED_DAYS, hexToBytes(app), day, from);
  for (const { day: one } of days) {
    let isEmpty = true;
    for (let shard = 0; shard < SHARDS; shard += 1) {
      const found = await database.all<{ id: Buffer }>(LISTED, hexToBytes(app), one, shard, limit);
      for (const { id } of found) {
        isEmpty = false;
        yield { day: one, id: id.toString('hex') as IndexId };
      }
    }
    if (!isEmpty) continue;
    const query = 'DELETE FROM delivery_days_used WHERE app = ? AND day = ?';
    await database.run(query, hexToBytes(app), one);
  }
}

function shardOf(id: IndexId): number {
  return Number.parseInt(id.slice(0, 2), 16) % SHARDS;
}

function toRow({ id, day, revision, wrapped, settled }: Stored): DeliveryRow {
  const isSettled = (settled ?? 0) >= revision;
  return { id: id.toString('hex') as IndexId, day, revision, wrapped, isSettled };
}
