/** The stores that lie in Cassandra; loaded only when a configuration names it. */
import {
  accessKeySchema,
  openAccessKeyStoreCassandra,
} from '../../access/cassandra/access-key-store-cassandra.ts';
import { LetheError } from '../../base/lethe-error.ts';
import {
  deliverySchema,
  openDeliveryStoreCassandra,
} from '../../deliveries/cassandra/delivery-store-cassandra.ts';
import { CassandraDatabase } from '../../engines/cassandra-database.ts';
import {
  assertMigrated,
  type CassandraSchema,
  migrateKeyspace,
} from '../../engines/cassandra-migrations.ts';
import { unsafeNodes } from '../../engines/cassandra-settings.ts';
import type { CassandraEngine } from '../../engines/engine-urls.ts';
import {
  clockMarkSchema,
  openClockMarkCassandra,
} from '../../event-log/cassandra/clock-mark-cassandra.ts';
import {
  openRequestTableCassandra,
  requestSchema,
} from '../../requests/cassandra/request-table-cassandra.ts';
import { openVaultCopyCassandra } from '../../vault/copy/cassandra/vault-copy-cassandra.ts';
import { openFeedStoreCassandra } from '../../vault/feed/cassandra/feed-store-cassandra.ts';
import { vaultSchema } from '../../vault/rows/cassandra/vault-schema-cassandra.ts';
import { openVaultStoreCassandra } from '../../vault/rows/cassandra/vault-store-cassandra.ts';
import { openTurnTableCassandra } from '../../vault/turn/cassandra/turn-table-cassandra.ts';
import { viewSchema } from '../../views/cassandra/view-schema-cassandra.ts';
import { openViewStoreCassandra } from '../../views/cassandra/view-store-cassandra.ts';
import type { StateStores, VaultStores, ViewStores } from '../opened-stores.ts';
import type { Engine, StorePart } from './engine.ts';

const STATE_SCHEMAS = [accessKeySchema, clockMarkSchema, deliverySchema, requestSchema];

async function open(
  database: CassandraDatabase,
  schemas: readonly CassandraSchema[],
): Promise<CassandraDatabase> {
  try {
    for (const schema of schemas) await assertMigrated(database, schema);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function openVault(settings: CassandraEngine): Promise<VaultStores> {
  const session = new CassandraDatabase(settings, 'VAULT_UNREACHABLE', 'quorum');
  const database = await open(session, [vaultSchema]);
  const store = openVaultStoreCassandra(database);
  return {
    store,
    feed: openFeedStoreCassandra(database),
    turns: openTurnTableCassandra(database),
    copy: openVaultCopyCassandra(database, store),
    unsafeSettings: () => unsafeNodes(database),
    close: () => database.close(),
  };
}

async function openState(settings: CassandraEngine): Promise<StateStores> {
  const session = new CassandraDatabase(settings, 'STATE_UNREACHABLE', 'quorum');
  const database = await open(session, STATE_SCHEMAS);
  return {
    deliveries: openDeliveryStoreCassandra(database),
    requests: openRequestTableCassandra(database),
    clockMark: openClockMarkCassandra(database),
    accessKeys: openAccessKeyStoreCassandra(database),
    unsafeSettings: () => unsafeNodes(database),
    close: () => database.close(),
  };
}

async function openViews(settings: CassandraEngine): Promise<ViewStores> {
  const session = new CassandraDatabase(settings, 'VIEWS_UNREACHABLE', 'localQuorum');
  const database = await open(session, [viewSchema]);
  const views = openViewStoreCassandra(database);
  return { views: () => views, close: () => database.close() };
}

export const cassandraEngine: Engine<CassandraEngine> = {
  openVault,
  openState,
  openViews,
  async migrate(part, settings) {
    const steps = await migratePart(part, settings);
    return steps === 0 ? 'nothing to do' : `${steps} steps applied`;
  },
};

/** The number of steps that were applied. */
async function migratePart(part: StorePart, settings: CassandraEngine): Promise<number> {
  switch (part) {
    case 'vault':
      return migrateKeyspace(settings, 'VAULT_UNREACHABLE', [vaultSchema]);
    case 'state':
      return migrateKeyspace(settings, 'STATE_UNREACHABLE', STATE_SCHEMAS);
    case 'views':
      return migrateKeyspace(settings, 'VIEWS_UNREACHABLE', [viewSchema]);
    case 'log':
      throw new LetheError('INVARIANT_BROKEN', 'Cassandra holds no log');
  }
}
