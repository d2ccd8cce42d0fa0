/**
 * Lists by which scans find rows in Cassandra: the buckets of each app, and rows of rare kinds.
 * What is listed may be gone, but nothing is there that is not listed: the list is written first.
 */

import { hexToBytes } from '../../../base/hex.ts';
import type { AppId } from '../../../base/ids.ts';
import type { CassandraDatabase, CqlStatement } from '../../../engines/cassandra-database.ts';
import { type RowKey, type RowKind, rowKinds } from '../vault-store.ts';

/** Kinds of which there are few, and which are looked for in all apps. */
export const RARE_KINDS: readonly RowKind[] = [
  rowKinds.storeRootPrevious,
  rowKinds.appRoot,
  rowKinds.appRootPrevious,
  rowKinds.bucketKeyPrevious,
  rowKinds.appRecord,
  rowKinds.hold,
];

/** What lists a row: its bucket, and itself if it is of a rare kind. */
export function listStatements({ app, bucket, kind, id }: RowKey): CqlStatement[] {
  const list = {
    query: 'INSERT INTO vault_buckets (app, bucket) VALUES (?, ?)',
    params: [hexToBytes(app), bucket],
  };
  if (!RARE_KINDS.includes(kind)) return [list];
  const query = 'INSERT INTO vault_rare (kind, app, bucket, id) VALUES (?, ?, ?, ?)';
  return [list, { query, params: [kind, hexToBytes(app), bucket, hexToBytes(id)] }];
}

/** Every app that has rows, the store itself included. */
export async function listedApps(database: CassandraDatabase): Promise<AppId[]> {
  const rows = await database.all<{ app: Buffer }>('SELECT DISTINCT app FROM vault_buckets');
  return rows.map(({ app }) => app.toString('hex') as AppId);
}

/** The buckets of an app in which something lies; it may name too many. */
export async function listedBuckets(database: CassandraDatabase, app: AppId): Promise<number[]> {
  const query = 'SELECT bucket FROM vault_buckets WHERE app = ?';
  const rows = await database.all<{ bucket: number }>(query, hexToBytes(app));
  return rows.map(({ bucket }) => bucket);
}

/** The keys of rows of a rare kind, of one app or of all. */
export async function* listedRows(
  database: CassandraDatabase,
  kind: RowKind,
  app: AppId | undefined,
): AsyncIterable<RowKey> {
  const where = app === undefined ? '' : ' AND app = ?';
  const query = `SELECT app, bucket, id FROM vault_rare WHERE kind = ?${where}`;
  const params = app === undefined ? [kind] : [kind, hexToBytes(app)];
  const rows = database.each<{ app: Buffer; bucket: number; id: Buffer }>(query, ...params);
  for await (const row of rows) {
    const id = row.id.toString('hex');
    yield { app: row.app.toString('hex') as AppId, bucket: row.bucket, kind, id };
  }
}
