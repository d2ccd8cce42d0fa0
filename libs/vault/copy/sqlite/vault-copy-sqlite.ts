/** All that lies in a vault's SQLite file; read and written past the conditions of live writers. */
import type { AppId, SegmentId } from '../../../base/ids.ts';
import type { SqliteDatabase } from '../../../engines/sqlite-database.ts';
import {
  insertVaultRow,
  ROW_COLUMNS,
  type StoredRow,
  storedKey,
  toVaultRow,
} from '../../rows/sqlite/vault-store-sqlite.ts';
import { storedBytes } from '../../rows/stored-values.ts';
import type { VaultStore } from '../../rows/vault-store.ts';
import type { VaultCopy } from '../vault-copy.ts';

const ROWS_PER_READ = 500;
// What is named by a key of another length is found by nobody.
const TABLES = {
  vault_rows: { columns: ROW_COLUMNS, keyBytes: 33 },
  vault_segments: { columns: 'key, wrapped', keyBytes: 32 },
} as const;
type Table = keyof typeof TABLES;
const DROP_OLDER = 'DELETE FROM vault_rows WHERE key = ? AND version < ?';

interface StoredPart {
  key: Uint8Array;
  wrapped: unknown;
}

function nameOf(key: Uint8Array) {
  const name = Buffer.from(key).toString('hex');
  return { app: name.slice(0, 32) as AppId, id: name.slice(32) as SegmentId };
}

/** Opens the tables; the vault store made them. */
export function openVaultCopySqlite(
  database: SqliteDatabase,
  store: Pick<VaultStore, 'dirtyBuckets'>,
): VaultCopy {
  function* all<Row extends { key: Uint8Array }>(table: Table): Iterable<Row> {
    const { columns, keyBytes } = TABLES[table];
    const sql = `SELECT ${columns} FROM ${table} WHERE key > ? AND length(key) = ${keyBytes}
      ORDER BY key LIMIT ${ROWS_PER_READ}`;
    for (let after: Uint8Array = Buffer.alloc(0); ; ) {
      const rows = database.all<Row>(sql, after);
      yield* rows;
      if (rows.length < ROWS_PER_READ) return;
      after = rows.at(-1)!.key;
    }
  }

  async function* rows() {
    for (const row of all<StoredRow>('vault_rows')) yield toVaultRow(row);
  }

  return {
    rows,
    // A commit writes what it will: all of it is one part.
    async *parts() {
      yield { holds: () => true, rows };
    },
    async *segments() {
      for (const { key, wrapped } of all<StoredPart>('vault_segments')) {
        yield { ...nameOf(key), wrapped: Buffer.from(storedBytes(wrapped)) };
      }
    },
    async *segmentNames() {
      for (const { key } of all<StoredPart>('vault_segments')) yield nameOf(key);
    },
    dirty: () => store.dirtyBuckets(),
    async loadRows(rows) {
      database.transaction(() => {
        for (const row of rows) {
          database.run(DROP_OLDER, storedKey(row), row.version);
          insertVaultRow(database, row);
        }
      });
    },
    async dropRows(keys) {
      database.transaction(() => {
        for (const key of keys) database.run(DROP_OLDER, storedKey(key), Number.MAX_SAFE_INTEGER);
      });
    },
    async loadSegments(segments) {
      const sql = `INSERT INTO vault_segments VALUES (random() >> 12, ?, ?)
        ON CONFLICT DO NOTHING`;
      database.transaction(() => {
        for (const { app, id, wrapped } of segments) {
          database.run(sql, Buffer.from(app + id, 'hex'), wrapped);
        }
      });
    },
    async loadDirty(buckets) {
      const sql = 'INSERT INTO vault_dirty VALUES (?, ?) ON CONFLICT DO NOTHING';
      database.transaction(() => {
        for (const { app, bucket } of buckets) {
          database.run(sql, Buffer.from(app, 'hex'), bucket);
        }
      });
    },
  };
}
