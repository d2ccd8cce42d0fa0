/** All that lies in a vault's SQLite file; read and written past the conditions of live writers. */
import type { AppId, SegmentId } from '../base/ids.ts';
import type { SqliteDatabase } from '../base/sqlite-database.ts';
import type { VaultCopy } from './vault-copy.ts';
import type { VaultStore } from './vault-store.ts';
import { insertVaultRow, storedKey } from './vault-store-sqlite.ts';

const PARTS_PER_READ = 500;
const DROP_OLDER = 'DELETE FROM vault_rows WHERE key = ? AND version < ?';

interface StoredPart {
  row: number;
  key: Uint8Array;
  wrapped: Uint8Array;
}

/** Opens the tables; the vault store made them. */
export function openVaultCopySqlite(
  database: SqliteDatabase,
  store: Pick<VaultStore, 'dirtyBuckets' | 'scan'>,
): VaultCopy {
  return {
    async *rows(kinds) {
      for (const kind of kinds) yield* store.scan(kind);
    },
    async *segments() {
      const sql = `SELECT * FROM vault_segments WHERE row > ? ORDER BY row LIMIT ${PARTS_PER_READ}`;
      for (let after = 0; ; ) {
        const parts = database.all<StoredPart>(sql, after);
        for (const { key, wrapped } of parts) {
          const name = Buffer.from(key).toString('hex');
          const at = { app: name.slice(0, 32) as AppId, id: name.slice(32) as SegmentId };
          yield { ...at, wrapped: Buffer.from(wrapped) };
        }
        if (parts.length < PARTS_PER_READ) return;
        after = parts.at(-1)!.row;
      }
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
      const sql = `INSERT INTO vault_segments (key, wrapped) VALUES (?, ?)
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
