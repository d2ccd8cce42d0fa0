/**
 * The adapters of every port, by technology. A new engine adds a line here and passes the same
 * suites; an adapter that cannot be reached fails its suite, it is never skipped.
 */
import { join } from 'node:path';
import {
  accessKeySchema,
  openAccessKeyStoreCassandra,
} from '../../libs/access/cassandra/access-key-store-cassandra.ts';
import { openAccessKeyStoreSqlite } from '../../libs/access/sqlite/access-key-store-sqlite.ts';
import { openCertificatesFile } from '../../libs/audit/file/certificates-file.ts';
import { createSystemRandomness } from '../../libs/base/random.ts';
import { openBlobStoreFile } from '../../libs/blobs/file/blob-store-file.ts';
import {
  deliverySchema,
  openDeliveryStoreCassandra,
} from '../../libs/deliveries/cassandra/delivery-store-cassandra.ts';
import { openDeliveryStoreSqlite } from '../../libs/deliveries/sqlite/delivery-store-sqlite.ts';
import { SqliteDatabase } from '../../libs/engines/sqlite-database.ts';
import {
  clockMarkSchema,
  openClockMarkCassandra,
} from '../../libs/event-log/cassandra/clock-mark-cassandra.ts';
import { openClockMarkSqlite } from '../../libs/event-log/sqlite/clock-mark-sqlite.ts';
import { openEventLogSqlite } from '../../libs/event-log/sqlite/event-log-sqlite.ts';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import {
  openRequestTableCassandra,
  requestSchema,
} from '../../libs/requests/cassandra/request-table-cassandra.ts';
import { openErasureEntriesFile } from '../../libs/requests/file/erasure-entries-file.ts';
import { openRequestTableSqlite } from '../../libs/requests/sqlite/request-table-sqlite.ts';
import { openVaultCopyCassandra } from '../../libs/vault/copy/cassandra/vault-copy-cassandra.ts';
import { openVaultCopySqlite } from '../../libs/vault/copy/sqlite/vault-copy-sqlite.ts';
import type { VaultCopy } from '../../libs/vault/copy/vault-copy.ts';
import { openFeedStoreCassandra } from '../../libs/vault/feed/cassandra/feed-store-cassandra.ts';
import { openFeedStoreSqlite } from '../../libs/vault/feed/sqlite/feed-store-sqlite.ts';
import { openRootKmsLocal } from '../../libs/vault/keys/local/root-kms-local.ts';
import type { RootKms } from '../../libs/vault/keys/root-kms.ts';
import { vaultSchema } from '../../libs/vault/rows/cassandra/vault-schema-cassandra.ts';
import { openVaultStoreCassandra } from '../../libs/vault/rows/cassandra/vault-store-cassandra.ts';
import { openVaultStoreSqlite } from '../../libs/vault/rows/sqlite/vault-store-sqlite.ts';
import type { VaultRow, VaultStore } from '../../libs/vault/rows/vault-store.ts';
import { openTurnTableCassandra } from '../../libs/vault/turn/cassandra/turn-table-cassandra.ts';
import { openTurnTableSqlite } from '../../libs/vault/turn/sqlite/turn-table-sqlite.ts';
import { openViewCacheMemory } from '../../libs/views/cache/memory/view-cache-memory.ts';
import { viewSchema } from '../../libs/views/cassandra/view-schema-cassandra.ts';
import { openViewStoreCassandra } from '../../libs/views/cassandra/view-store-cassandra.ts';
import { openViewStoreSqlite } from '../../libs/views/sqlite/view-store-sqlite.ts';
import { awsKms, cassandra, kafka, redis, s3 } from './engines.ts';

/** Opens a port over the same storage as often as it is called, as another process would. */
type Opener<Port> = (folder: string) => Port | Promise<Port>;

const database = (folder: string) => {
  return new SqliteDatabase(join(folder, 'store.db'), 'STATE_UNREACHABLE');
};

function sqlite<Port>(open: (database: SqliteDatabase) => Port): [string, Opener<Port>][] {
  return [['sqlite', (folder) => open(database(folder))]];
}

function withCopy<Database>(
  store: VaultStore,
  open: (database: Database, store: VaultStore) => VaultCopy,
  on: Database,
) {
  return { store, copy: open(on, store) };
}

export const adapters = {
  accessKeys: [
    ...sqlite(openAccessKeyStoreSqlite),
    ...cassandra([accessKeySchema], openAccessKeyStoreCassandra),
  ],
  blobs: [['file', (folder: string) => openBlobStoreFile(join(folder, 'blobs'))] as const, ...s3()],
  cache: [['memory', () => openViewCacheMemory(4 * 1024 * 1024)] as const, ...redis()],
  clockMark: [
    ...sqlite(openClockMarkSqlite),
    ...cassandra([clockMarkSchema], openClockMarkCassandra),
  ],
  deliveries: [
    ...sqlite(openDeliveryStoreSqlite),
    ...cassandra([deliverySchema], openDeliveryStoreCassandra),
  ],
  eventLog: [
    ...sqlite((one) => openEventLogSqlite(one, { wake: createWakeSignal(), partitions: 4 })),
    ...kafka(4),
  ],
  feed: [...sqlite(openFeedStoreSqlite), ...cassandra([vaultSchema], openFeedStoreCassandra)],
  requests: [
    ...sqlite(openRequestTableSqlite),
    ...cassandra([requestSchema], openRequestTableCassandra),
  ],
  turns: [...sqlite(openTurnTableSqlite), ...cassandra([vaultSchema], openTurnTableCassandra)],
  vault: [...sqlite(openVaultStoreSqlite), ...cassandra([vaultSchema], openVaultStoreCassandra)],
  vaultForged: [
    ...sqlite((one) => {
      const store = openVaultStoreSqlite(one);
      const forge = async ({ app, kind, id }: VaultRow) => {
        const key = Buffer.concat([
          Buffer.from(app, 'hex'),
          Buffer.of(kind),
          Buffer.from(id, 'hex'),
        ]);
        const values = `(?, 'x', 9e18, 'y', 3, NULL, 4, 5, 'z', 6, 7, 8)`;
        one.run(`INSERT INTO vault_rows VALUES ${values}`, key);
      };
      return { store, forge };
    }),
    ...cassandra([vaultSchema], (one) => {
      const store = openVaultStoreCassandra(one);
      const forge = async ({ app, bucket, kind, id }: VaultRow) => {
        const names = [Buffer.from(app, 'hex'), bucket, kind, Buffer.from(id, 'hex')];
        await one.run(
          'INSERT INTO vault_rows (app, bucket, kind, id) VALUES (?, ?, ?, ?)',
          ...names,
        );
      };
      return { store, forge };
    }),
  ],
  vaultCopy: [
    ...sqlite((one) => withCopy(openVaultStoreSqlite(one), openVaultCopySqlite, one)),
    ...cassandra([vaultSchema], (one) =>
      withCopy(openVaultStoreCassandra(one), openVaultCopyCassandra, one),
    ),
  ],
  views: [...sqlite(openViewStoreSqlite), ...cassandra([viewSchema], openViewStoreCassandra)],
  erasures: [['file', (folder: string) => openErasureEntriesFile(join(folder, 'list'))]] as const,
  certificates: [
    [
      'file',
      (folder: string) =>
        openCertificatesFile({ folder: join(folder, 'made'), keyFolder: join(folder, 'keys') }),
    ],
  ] as const,
  rootKms: [
    [
      'local',
      (folder: string): RootKms => {
        const randomness = createSystemRandomness();
        return openRootKmsLocal({ folder: join(folder, 'keys'), randomness });
      },
    ] as const,
    ...awsKms(),
  ],
};
