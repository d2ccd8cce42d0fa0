/** Access keys in Cassandra: by id, and listed by app in the order they were made. */

import { type AppId, NO_ID } from '../../base/ids.ts';
import { type CassandraDatabase, hasCells } from '../../engines/cassandra-database.ts';
import type { CassandraSchema } from '../../engines/cassandra-migrations.ts';
import type { AccessKeyRow, AccessKeyStore, AccessScope } from '../access-key-store.ts';

/** Tables of access keys, applied by `lethe migrate`. */
export const accessKeySchema: CassandraSchema = {
  area: 'access keys',
  steps: [
    [
      `CREATE TABLE IF NOT EXISTS access_keys (
        id text PRIMARY KEY, app text, scope text, wrapped_secret blob, created_at bigint,
        revoked_at bigint)`,
      `CREATE TABLE IF NOT EXISTS access_keys_of_app (
        app text, created_at bigint, id text, PRIMARY KEY (app, created_at, id))`,
    ],
  ],
};

const FIND = 'SELECT * FROM access_keys WHERE id = ?';
const LIST = 'INSERT INTO access_keys_of_app (app, created_at, id) VALUES (?, ?, ?)';
const ADD = `INSERT INTO access_keys (id, app, scope, wrapped_secret, created_at)
  VALUES (?, ?, ?, ?, ?) IF NOT EXISTS`;
const REVOKE = `UPDATE access_keys SET revoked_at = ? WHERE id = ?
  IF revoked_at = null AND created_at > 0`;
const REMOVE = 'DELETE FROM access_keys WHERE id = ? IF EXISTS';
const LISTED = 'SELECT id FROM access_keys_of_app WHERE app = ?';
const UNLIST = 'DELETE FROM access_keys_of_app WHERE app = ?';

interface Stored {
  id: string;
  app: string | null;
  scope: string;
  wrapped_secret: Buffer;
  created_at: unknown;
  revoked_at: unknown;
}

/** Opens the keys' tables; `lethe migrate` made them. */
export function openAccessKeyStoreCassandra(database: CassandraDatabase): AccessKeyStore {
  const read = async (id: string) => {
    const row = await database.getSerial<Stored>(FIND, id);
    return row && toRow(row);
  };
  const listed = (app: AppId | null) => database.all<{ id: string }>(LISTED, app ?? NO_ID);
  return {
    async add(row) {
      const { id, app, scope, wrappedSecret, createdAtMs } = row;
      await database.run(LIST, app ?? NO_ID, createdAtMs, id);
      const statement = { query: ADD, params: [id, app, scope, wrappedSecret, createdAtMs] };
      await database.applySettled([statement], async () => (await read(id)) !== undefined);
    },
    find: read,
    async list(app) {
      const rows = await database.mapAll(await listed(app), ({ id }) => read(id));
      return rows.filter((row) => row !== undefined);
    },
    async revoke(id, nowMs) {
      const statement = { query: REVOKE, params: [nowMs, id] };
      return database.applySettled([statement], async () => {
        return (await read(id))?.revokedAtMs === nowMs;
      });
    },
    async removeAll(app) {
      await database.mapAll(await listed(app), ({ id }) => {
        return database.applySettled([{ query: REMOVE, params: [id] }]);
      });
      await database.run(UNLIST, app);
    },
    async *all() {
      for await (const row of database.each<Stored>('SELECT * FROM access_keys')) {
        if (hasCells(row, ['scope', 'wrapped_secret', 'created_at'])) yield toRow(row);
      }
    },
  };
}

function toRow(row: Stored): AccessKeyRow {
  return {
    id: row.id,
    app: row.app as AppId | null,
    scope: row.scope as AccessScope,
    wrappedSecret: row.wrapped_secret,
    createdAtMs: Number(row.created_at),
    revokedAtMs: row.revoked_at === null ? null : Number(row.revoked_at),
  };
}
