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

interface StoredPartition {
  readonly app: Buffer;
  readonly bucket: number;
}

interface StoredKey extends StoredPartition {
  readonly id: Buffer;
}

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
    const rows = [...(await this.#listedRare(kind, app)), ...(await this.#rareInRows(kind, app))];
    const keys = rows.map((row): RowKey => {
      return { app: appOf(row), bucket: row.bucket, kind, id: row.id.toString('hex') };
    });
    return [...new Map(keys.map((key) => [`${rowKeyToText(key)}.${key.bucket}`, key])).values()];
  }

  #listedRare(kind: RowKind, app: AppId | undefined): Promise<StoredKey[]> {
    const query = 'SELECT app, bucket, id FROM vault_rare WHERE kind = ?';
    return app === undefined
      ? this.#database.all(query, kind)
      : this.#database.all(`${query} AND app = ?`, kind, hexToBytes(app));
  }

  /** But for bucket keys that a turn left behind: each lies in its bucket, and opens nothing. */
  async #rareInRows(kind: RowKind, app: AppId | undefined): Promise<StoredKey[]> {
    if (kind === rowKinds.bucketKeyPrevious) return [];
    const query =
      'SELECT app, bucket, id FROM vault_rows WHERE app = ? AND bucket = 0 AND kind = ?';
    const apps = app === undefined ? await this.apps() : [app];
    const found = await this.#database.mapAll(apps, (one) =>
      this.#database.all<StoredKey>(query, hexToBytes(one), kind),
    );
    return found.flat();
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
