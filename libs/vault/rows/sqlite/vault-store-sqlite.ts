/** The vault's rows in one SQLite file. Removed bytes are zeroed (secure_delete) and scrubbed. */
import type { AppId } from '../../../base/ids.ts';
import type { SqliteDatabase } from '../../../engines/sqlite-database.ts';
import { bucketOf } from '../key-slots.ts';
import {
  type StoredFields,
  storedBytes,
  storedId,
  storedNumber,
  storedRow,
} from '../stored-values.ts';
import {
  BUCKETED_KINDS,
  type RowKey,
  type RowKind,
  type RowVersion,
  rowKeyToText,
  type VaultBatch,
  type VaultRow,
  type VaultStore,
} from '../vault-store.ts';

// Rows lie in the order of their keys, segments in a random one: in the order of their making they
// would say which belong together, also when one of them is a fence by now.
const TABLES = `
  CREATE TABLE IF NOT EXISTS vault_rows (
    key BLOB PRIMARY KEY, bucket INTEGER NOT NULL,
    version INTEGER NOT NULL, state INTEGER NOT NULL, wrapping_key BLOB NOT NULL, own_key BLOB,
    holds BLOB NOT NULL, edges BLOB NOT NULL, wrapped BLOB NOT NULL, erasure BLOB, fingerprint BLOB,
    owed BLOB
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS vault_dirty (
    app BLOB NOT NULL, bucket INTEGER NOT NULL, PRIMARY KEY (app, bucket)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS vault_segments (
    row INTEGER PRIMARY KEY, key BLOB NOT NULL, wrapped BLOB NOT NULL
  );
  CREATE UNIQUE INDEX IF NOT EXISTS vault_segments_key ON vault_segments (key);`;

// As the first version laid them.
const LAY_ANEW = `
  ALTER TABLE vault_rows RENAME TO vault_rows_made;
  DROP INDEX vault_rows_key;
  ${TABLES}
  INSERT INTO vault_rows SELECT key, bucket, version, state, wrapping_key, own_key, holds, edges,
    wrapped, erasure, fingerprint, owed FROM vault_rows_made ORDER BY key;
  DROP TABLE vault_rows_made;
  UPDATE vault_segments SET row = random() >> 12;`;

// The driver gives up on numbers beyond what a double holds, and Lethe writes none.
const READABLE = (name: string) =>
  `CASE WHEN typeof(${name}) = 'integer' AND ${name} BETWEEN 0 AND 9007199254740991
    THEN ${name} ELSE 0 END`;
/** The columns of a row, each as one that Lethe may have written. */
export const ROW_COLUMNS = `key, ${READABLE('bucket')} AS bucket, ${READABLE('version')} AS version,
  ${READABLE('state')} AS state, wrapping_key, own_key, holds, edges, wrapped, erasure, fingerprint,
  owed`;
const READ = `SELECT ${ROW_COLUMNS} FROM vault_rows WHERE key IN (KEYS)`;
const DIRTY = `SELECT app, ${READABLE('bucket')} AS bucket FROM vault_dirty
  ORDER BY app, bucket`;
const VERSIONS = `SELECT key, ${READABLE('version')} AS version, ${READABLE('state')} AS state
  FROM vault_rows WHERE key IN (KEYS)`;
const OWN_KEY = 'SELECT own_key FROM vault_rows WHERE key = ?';
const INSERT = `INSERT INTO vault_rows (key, bucket, version, state, wrapping_key, own_key,
  holds, edges, wrapped, erasure, fingerprint, owed)
  VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`;
const UPDATE = `UPDATE vault_rows SET version = ?, state = ?, wrapping_key = ?, own_key = ?,
  holds = ?, edges = ?, wrapped = ?, erasure = ?, fingerprint = ?, owed = ?
  WHERE key = ? AND ${READABLE('version')} = ?`;
const ENTERED = 'UPDATE vault_rows SET owed = NULL WHERE key = ? AND owed = ?';
const REMOVE = `DELETE FROM vault_rows WHERE key = ?1 AND ${READABLE('version')} = ?2
  AND (?3 IS NULL OR own_key = ?3)`;
// Rows of one app and kind lie side by side under this key: app ‖ kind ‖ id.
const SCAN_ROWS = 500;
const KEY_BYTES = 33;
const BETWEEN = `key > ? AND key < ? AND length(key) = ${KEY_BYTES}`;
const SCAN = `SELECT ${ROW_COLUMNS} FROM vault_rows WHERE ${BETWEEN}
  ORDER BY key LIMIT ${SCAN_ROWS}`;
const NEXT_KEY = `SELECT key FROM vault_rows WHERE ${BETWEEN} ORDER BY key LIMIT 1`;
const LAST_KEY = Buffer.alloc(KEY_BYTES + 1, 0xff);

/** A row of the table, as the driver gives it. */
export interface StoredRow extends StoredFields {
  readonly key: Uint8Array;
  readonly bucket: unknown;
}

/** Opens the vault's tables in a database. */
export function openVaultStoreSqlite(database: SqliteDatabase): VaultStore {
  database.define(TABLES);
  database.addColumn('vault_rows', 'owed BLOB');
  if (lieAsTheyWereMade(database)) database.transaction(() => database.define(LAY_ANEW));
  return {
    guards: 'everywhere',
    async read(keys) {
      const stored = keys.map(storedKey);
      const rows = database.allIn<StoredRow>(READ, stored).map(toVaultRow);
      const byKey = new Map(rows.map((row) => [rowKeyToText(row), row]));
      return keys.map((key) => inBucket(byKey.get(rowKeyToText(key)), key.bucket));
    },
    async versions(keys) {
      const rows = database.allIn<RowVersion & { key: Uint8Array }>(VERSIONS, keys.map(storedKey));
      const known = new Map(
        rows.map(({ key, version, state }) => [toHex(key), { version, state }]),
      );
      return keys.map((key) => known.get(toHex(storedKey(key))));
    },
    async commit(batches) {
      const done = new Set<VaultBatch>();
      database.transaction(() => {
        for (const batch of batches) {
          if (!(batch.needs ?? []).every((one) => done.has(one))) continue;
          if (database.attempt(() => apply(database, batch))) done.add(batch);
        }
      });
      return batches.map((batch) => (done.has(batch) ? 'done' : 'conflict'));
    },
    async entered(keys, loss) {
      const owed = Buffer.from(loss, 'hex');
      database.transaction(() => {
        for (const key of keys) database.run(ENTERED, storedKey(key), owed);
      });
    },
    scan: (kind, app) => scan(database, kind, app),
    scanBucket: (at) => scanBucket(database, at),
    async dirtyBuckets() {
      const rows = database.all<{ app: unknown; bucket: number }>(DIRTY);
      return rows.map(({ app, bucket }) => ({ app: storedId<AppId>(app), bucket }));
    },
    async readSegments(app, ids) {
      return ids.map((id) => {
        const sql = 'SELECT wrapped FROM vault_segments WHERE key = ?';
        const row = database.get<{ wrapped: unknown }>(sql, Buffer.from(app + id, 'hex'));
        return row && storedBytes(row.wrapped);
      });
    },
    async writeSegments(app, parts) {
      database.transaction(() => {
        const sql = 'INSERT OR REPLACE INTO vault_segments VALUES (random() >> 12, ?, ?)';
        for (const { id, wrapped } of parts) {
          database.run(sql, Buffer.from(app + id, 'hex'), wrapped);
        }
      });
    },
    async removeSegments(app, ids) {
      database.transaction(() => {
        const sql = 'DELETE FROM vault_segments WHERE key = ?';
        for (const id of ids) database.run(sql, Buffer.from(app + id, 'hex'));
      });
    },
    async scrub() {
      // A long reader can hold the WAL: what is left in it is wrapped, and the next scrub or
      // checkpoint takes it.
      database.truncateWal();
    },
  };
}

function apply(database: SqliteDatabase, batch: VaultBatch): boolean {
  if (batch.guard !== undefined) {
    const row = database.get<{ own_key: Uint8Array | null }>(OWN_KEY, storedKey(batch.guard.key));
    if (row?.own_key == null || toHex(row.own_key) !== batch.guard.ownKey) return false;
  }
  for (const row of batch.puts ?? []) {
    // What has a version that nobody writes is as good as absent: an insert takes its place.
    const isInserted = row.version === 1 && insertVaultRow(database, row) === 1;
    if (!isInserted && update(database, row) !== 1) return false;
  }
  for (const key of batch.removals ?? []) {
    const ownKey = key.ownKey == null ? null : Buffer.from(key.ownKey, 'hex');
    if (database.run(REMOVE, storedKey(key), key.version, ownKey) !== 1) return false;
  }
  const [written] = [...(batch.puts ?? []), ...(batch.removals ?? [])];
  if (batch.dirties && written !== undefined) {
    const sql = 'INSERT INTO vault_dirty VALUES (?, ?) ON CONFLICT DO NOTHING';
    database.run(sql, Buffer.from(written.app, 'hex'), written.bucket);
  }
  if (batch.cleans !== undefined) {
    const { app, bucket } = batch.cleans;
    const sql = 'DELETE FROM vault_dirty WHERE app = ? AND bucket = ?';
    database.run(sql, Buffer.from(app, 'hex'), bucket);
  }
  return true;
}

/** Writes a row as it is unless there is one; the number that was written. */
export function insertVaultRow(database: SqliteDatabase, row: VaultRow): number {
  return database.run(INSERT, storedKey(row), row.bucket, row.version, ...columns(row).slice(1));
}

function update(database: SqliteDatabase, row: VaultRow): number {
  return database.run(UPDATE, ...columns(row), storedKey(row), row.version - 1);
}

function columns(row: VaultRow): (number | Buffer | null)[] {
  return [
    row.version,
    row.state,
    Buffer.from(row.wrappingKey, 'hex'),
    row.ownKey === null ? null : Buffer.from(row.ownKey, 'hex'),
    Buffer.from(row.holds.join(''), 'hex'),
    Buffer.from(row.edges.join(''), 'hex'),
    row.wrapped,
    row.erasure === null ? null : Buffer.from(row.erasure, 'hex'),
    row.fingerprint,
    row.owed === null ? null : Buffer.from(row.owed, 'hex'),
  ];
}

async function* scan(
  database: SqliteDatabase,
  kind: RowKind,
  app?: AppId,
): AsyncIterable<VaultRow> {
  for (const id of app === undefined ? appsOf(database) : [app]) {
    const rows = scanPrefix(database, Buffer.concat([Buffer.from(id, 'hex'), Buffer.from([kind])]));
    for (const row of rows) yield inBucket(row, bucketOf(row) ?? row.bucket);
  }
}

/** Every app that has rows, found by one seek each: the cost does not follow the number of rows. */
function* appsOf(database: SqliteDatabase): Iterable<AppId> {
  let after = Buffer.alloc(0);
  for (;;) {
    const row = database.get<{ key: Uint8Array }>(NEXT_KEY, after, LAST_KEY);
    if (row === undefined) return;
    const app = storedBytes(row.key).subarray(0, 16);
    yield toHex(app) as AppId;
    after = Buffer.concat([app, Buffer.alloc(18, 0xff)]);
  }
}

/** All rows whose key begins so. */
function* scanPrefix(database: SqliteDatabase, prefix: Buffer): Iterable<VaultRow> {
  const to = Buffer.concat([prefix, Buffer.alloc(KEY_BYTES - prefix.length + 1, 0xff)]);
  let from: Uint8Array = prefix;
  for (;;) {
    const rows = database.all<StoredRow>(SCAN, from, to);
    for (const row of rows) yield toVaultRow(row);
    if (rows.length < SCAN_ROWS) return;
    from = rows.at(-1)!.key;
  }
}

/**
 * Rows of a bucket have ids whose first u16 is its number, modulo the app's number of buckets.
 * Numbers that no id begins with are passed over.
 */
async function* scanBucket(
  database: SqliteDatabase,
  place: { app: AppId; buckets: number; bucket: number },
): AsyncIterable<VaultRow> {
  const { app, buckets, bucket } = place;
  const prefixOf = (kind: RowKind, first: number) => {
    const number = first.toString(16).padStart(4, '0');
    return storedKey({ app, kind, id: number.padEnd(32, '0') }).subarray(0, 19);
  };
  for (const kind of BUCKETED_KINDS) {
    const end = Buffer.concat([prefixOf(kind, 0).subarray(0, 17), Buffer.alloc(17, 0xff)]);
    for (let first = bucket; first < 65_536; ) {
      const next = database.get<{ key: Uint8Array }>(NEXT_KEY, prefixOf(kind, first), end);
      if (next === undefined) break;
      const found = storedBytes(next.key).readUInt16BE(17);
      // The smallest number of this bucket that is not below what was found.
      const ahead = first + Math.ceil((found - first) / buckets) * buckets;
      if (ahead === found) {
        for (const row of scanPrefix(database, prefixOf(kind, found))) {
          yield inBucket(row, bucket);
        }
      }
      first = ahead === found ? found + buckets : ahead;
    }
  }
}

/** Where a row lies is said by its id, whatever its column says. */
function inBucket<Row extends VaultRow | undefined>(row: Row, bucket: number): Row {
  return row === undefined || row.bucket === bucket ? row : { ...row, bucket };
}

/** app ‖ kind ‖ id, by which a row is found. */
export function storedKey(key: Pick<RowKey, 'app' | 'kind' | 'id'>): Buffer {
  const out = Buffer.allocUnsafe(33);
  out.write(key.app, 0, 'hex');
  out[16] = key.kind;
  out.write(key.id, 17, 'hex');
  return out;
}

/** A row as the port has it, whoever wrote it. */
export function toVaultRow(row: StoredRow): VaultRow {
  const key = toHex(row.key);
  const name = { app: key.slice(0, 32) as AppId, kind: row.key[16] as RowKind, id: key.slice(34) };
  return storedRow({ ...name, bucket: storedNumber(row.bucket) }, row);
}

function toHex(bytes: Uint8Array): string {
  return storedBytes(bytes).toString('hex');
}

function lieAsTheyWereMade(database: SqliteDatabase): boolean {
  const columns = database.all<{ name: string }>(
    `SELECT name FROM pragma_table_info('vault_rows')`,
  );
  return columns.some(({ name }) => name === 'row');
}
