/**
 * Lists by which scans find rows in Cassandra: the buckets of each app, and rows of rare kinds.
 * What is listed may be gone, but Lethe writes nothing that is not listed: the list comes first.
 */

import { hexToBytes } from '../../../base/hex.ts';
import type { AppId } from '../../../base/ids.ts';
import type { CassandraDatabase, CqlStatement } from '../../../engines/cassandra-database.ts';
import { type RowKey, type RowKind, rowKeyToText, rowKinds } from '../vault-store.ts';

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

type StoredPartition = { app: Buffer; bucket: number };
type Partitions = Map<AppId, Set<number>>;

/** For how long the partitions of the rows themselves are not asked for again. */
const ROWS_LOOK_MS = 1_000;

/**
 * Where rows lie: as the lists say, and as the rows themselves say. Who takes a row of a list away
 * hides nothing by it from a turn, which ends the keys that it wraps nothing anew under.
 */
export class VaultLists {
  readonly #database: CassandraDatabase;
  #inRows: { readonly atMs: number; readonly found: Promise<Partitions> } | undefined;

  constructor(database: CassandraDatabase) {
    this.#database = database;
  }

  /** Every app that has rows, the store itself included. */
  async apps(): Promise<AppId[]> {
    const query = 'SELECT DISTINCT app FROM vault_buckets';
    const listed = await this.#database.all<{ app: Buffer }>(query);
    return [...new Set([...listed.map(appOf), ...(await this.#partitionsOfRows()).keys()])];
  }

  /** The buckets of an app in which something lies; it may name too many. */
  async buckets(app: AppId): Promise<number[]> {
    const query = 'SELECT bucket FROM vault_buckets WHERE app = ?';
    const listed = await this.#database.all<{ bucket: number }>(query, hexToBytes(app));
    const inRows = (await this.#partitionsOfRows()).get(app) ?? [];
    return [...new Set([...listed.map(({ bucket }) => bucket), ...inRows])].sort((a, b) => a - b);
  }

  /** The keys of rows of a rare kind, of one app or of all. */
  async rare(kind: RowKind, app: AppId | undefined): Promise<RowKey[]> {
    const where = app === undefined ? '' : ' AND app = ?';
    const query = `SELECT app, bucket, id FROM vault_rare WHERE kind = ?${where}`;
    const params = app === undefined ? [kind] : [kind, hexToBytes(app)];
    const keys = new Map<string, RowKey>();
    const add = (row: StoredPartition & { id: Buffer }) => {
      const key = { app: appOf(row), bucket: row.bucket, kind, id: row.id.toString('hex') };
      keys.set(`${rowKeyToText(key)}.${row.bucket}`, key);
    };
    for await (const row of this.#database.each<Parameters<typeof add>[0]>(query, ...params)) {
      add(row);
    }
    // A key of a bucket that a turn left behind lies in that bucket, and opens nothing by itself.
    if (kind === rowKinds.bucketKeyPrevious) return [...keys.values()];
    const inRows =
      'SELECT app, bucket, id FROM vault_rows WHERE app = ? AND bucket = 0 AND kind = ?';
    const apps = app === undefined ? await this.apps() : [app];
    const found = await this.#database.mapAll(apps, (one) => {
      return this.#database.all<Parameters<typeof add>[0]>(inRows, hexToBytes(one), kind);
    });
    for (const row of found.flat()) add(row);
    return [...keys.values()];
  }

  async #partitionsOfRows(): Promise<Partitions> {
    const nowMs = performance.now();
    if (this.#inRows === undefined || nowMs - this.#inRows.atMs > ROWS_LOOK_MS) {
      const looked = { atMs: nowMs, found: this.#lookInRows() };
      this.#inRows = looked;
      looked.found.catch(() => {
        if (this.#inRows === looked) this.#inRows = undefined;
      });
    }
    return this.#inRows.found;
  }

  async #lookInRows(): Promise<Partitions> {
    const partitions: Partitions = new Map();
    const query = 'SELECT DISTINCT app, bucket FROM vault_rows';
    for await (const row of this.#database.each<StoredPartition>(query)) {
      const buckets = partitions.get(appOf(row)) ?? new Set();
      partitions.set(appOf(row), buckets.add(row.bucket));
    }
    return partitions;
  }
}

function appOf({ app }: { readonly app: Buffer }): AppId {
  return app.toString('hex') as AppId;
}
