/** All that lies in a vault in Cassandra; read and written past the conditions of live writers. */

import { hexToBytes } from '../../../base/hex.ts';
import type { AppId, SegmentId } from '../../../base/ids.ts';
import type { CassandraDatabase, CqlStatement } from '../../../engines/cassandra-database.ts';
import { listStatements, VaultLists } from '../../rows/cassandra/vault-lists-cassandra.ts';
import {
  putStatement,
  removalStatement,
  type StoredVaultRow,
  toVaultRow,
} from '../../rows/cassandra/vault-rows-cassandra.ts';
import { bucketKeyRow } from '../../rows/key-slots.ts';
import { storedBytes } from '../../rows/stored-values.ts';
import type { VaultRow, VaultStore } from '../../rows/vault-store.ts';
import type { VaultCopy } from '../vault-copy.ts';

interface StoredName {
  readonly app: Buffer;
  readonly id: Buffer;
}

function nameOf({ app, id }: StoredName) {
  return { app: app.toString('hex') as AppId, id: id.toString('hex') as SegmentId };
}

/** Opens the tables; `lethe migrate` made them. */
export function openVaultCopyCassandra(
  database: CassandraDatabase,
  store: Pick<VaultStore, 'dirtyBuckets' | 'read'>,
): VaultCopy {
  const lists = new VaultLists(database);
  return {
    async *rows() {
      const rows = database.each<StoredVaultRow>('SELECT * FROM vault_rows');
      for await (const row of rows) yield toVaultRow(row);
    },
    async *parts() {
      const query = 'SELECT * FROM vault_rows WHERE app = ? AND bucket = ?';
      for (const app of await lists.apps()) {
        for (const bucket of await lists.buckets(app)) {
          yield {
            holds: (row) => row.app === app && row.bucket === bucket,
            async *rows() {
              const rows = database.each<StoredVaultRow>(query, hexToBytes(app), bucket);
              for await (const row of rows) yield toVaultRow(row);
            },
          };
        }
      }
    },
    async *segments() {
      const query = 'SELECT app, id, wrapped FROM vault_segments';
      const rows = database.each<StoredName & { wrapped: unknown }>(query);
      for await (const row of rows) yield { ...nameOf(row), wrapped: storedBytes(row.wrapped) };
    },
    async *segmentNames() {
      const query = 'SELECT app, id FROM vault_segments';
      for await (const row of database.each<StoredName>(query)) yield nameOf(row);
    },
    dirty: () => store.dirtyBuckets(),
    async loadRows(rows) {
      await database.runAll(rows.flatMap(listStatements));
      const there = await store.read(rows);
      await database.mapAll([...rows.entries()], async ([i, row]) => {
        const older = there[i];
        if (older !== undefined && older.version >= row.version) return;
        const isMine = async () => {
          const [now] = await store.read([row]);
          return now?.wrapped.equals(row.wrapped) === true;
        };
        await database.applySettled([loadStatement(row, older?.version)], isMine);
      });
    },
    async dropRows(keys) {
      const there = await store.read(keys);
      await database.mapAll(
        there.filter((row) => row !== undefined),
        (row) => database.applySettled([removalStatement(row)]),
      );
    },
    async loadSegments(segments) {
      const query = 'INSERT INTO vault_segments (app, id, wrapped) VALUES (?, ?, ?)';
      await database.runAll(
        segments.map(({ app, id, wrapped }) => ({
          query,
          params: [hexToBytes(app), hexToBytes(id), wrapped],
        })),
      );
    },
    async loadDirty(buckets) {
      const keys = await store.read(buckets.map(({ app, bucket }) => bucketKeyRow(app, bucket)));
      const query = 'INSERT INTO vault_dirty (one, app, bucket, key) VALUES (0, ?, ?, ?)';
      await database.runAll(
        buckets.flatMap(({ app, bucket }, i) => {
          const ownKey = keys[i]?.ownKey;
          return ownKey == null
            ? []
            : [{ query, params: [hexToBytes(app), bucket, hexToBytes(ownKey)] }];
        }),
      );
    },
  };
}

/** A row as it is, in the place of an older version or of none. */
function loadStatement(row: VaultRow, older: number | undefined): CqlStatement {
  if (older === undefined) {
    const { query, params } = putStatement({ ...row, version: 1 });
    // The first value after the four of the key is the version.
    return { query, params: params.with(4, row.version) };
  }
  const { query, params } = putStatement({ ...row, version: 2 });
  // Versions need not follow one another here: first the new one, last the one it replaces.
  return { query, params: params.with(0, row.version).with(-1, older) };
}
