/** The stores that lie in Cassandra; loaded only when a configuration names it. */
import {
  accessKeySchema,
  openAccessKeyStoreCassandra,
} from '../access/cassandra/access-key-store-cassandra.ts';
import {
  deliverySchema,
  openDeliveryStoreCassandra,
} from '../deliveries/cassandra/delivery-store-cassandra.ts';
import { CassandraDatabase } from '../engines/cassandra-database.ts';
import {
  assertMigrated,
  type CassandraSchema,
  migrateKeyspace,
} from '../engines/cassandra-migrations.ts';
import type { CassandraEngine } from '../engines/engine-urls.ts';
import {
  clockMarkSchema,
  openClockMarkCassandra,
} from '../event-log/cassandra/clock-mark-cassandra.ts';
import {
  openRequestStoreCassandra,
  requestSchema,
} from '../requests/cassandra/request-store-cassandra.ts';
import { openVaultCopyCassandra } from '../vault/copy/cassandra/vault-copy-cassandra.ts';
import { openFeedStoreCassandra } from '../vault/feed/cassandra/feed-store-cassandra.ts';
import { vaultSchema } from '../vault/rows/cassandra/vault-schema-cassandra.ts';
import { openVaultStoreCassandra } from '../vault/rows/cassandra/vault-store-cassandra.ts';
import { openTurnStoreCassandra } from '../vault/turn/cassandra/turn-store-cassandra.ts';
import { viewSchema } from '../views/cassandra/view-schema-cassandra.ts';
import { openViewStoreCassandra } from '../views/cassandra/view-store-cassandra.ts';
import type { StateStores, VaultStores, ViewStores } from './opened-stores.ts';

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

/** Throws CONFIGURATION_INVALID (not migrated), VAULT_UNREACHABLE; as do the others. */
export async function openVaultCassandra(engine: CassandraEngine): Promise<VaultStores> {
  const session = new CassandraDatabase(engine, 'VAULT_UNREACHABLE', 'quorum');
  const database = await open(session, [vaultSchema]);
  const store = openVaultStoreCassandra(database);
  return {
    store,
    feed: openFeedStoreCassandra(database),
    turns: openTurnStoreCassandra(database),
    copy: openVaultCopyCassandra(database, store),
    close: () => database.close(),
  };
}

export async function openStateCassandra(engine: CassandraEngine): Promise<StateStores> {
  const session = new CassandraDatabase(engine, 'STATE_UNREACHABLE', 'quorum');
  const database = await open(session, STATE_SCHEMAS);
  return {
    deliveries: openDeliveryStoreCassandra(database),
    requests: openRequestStoreCassandra(database),
    clockMark: openClockMarkCassandra(database),
    accessKeys: openAccessKeyStoreCassandra(database),
    close: () => database.close(),
  };
}

export async function openViewsCassandra(engine: CassandraEngine): Promise<ViewStores> {
  const session = new CassandraDatabase(engine, 'VIEWS_UNREACHABLE', 'localQuorum');
  const database = await open(session, [viewSchema]);
  const views = openViewStoreCassandra(database);
  return { views: () => views, close: () => database.close() };
}

/** The number of steps that were applied to each keyspace. */
export async function migrateCassandra(engines: {
  vault: CassandraEngine | undefined;
  state: CassandraEngine | undefined;
  views: CassandraEngine | undefined;
}): Promise<Record<string, number>> {
  const { vault, state, views } = engines;
  return {
    ...(vault && { vault: await migrateKeyspace(vault, 'VAULT_UNREACHABLE', [vaultSchema]) }),
    ...(state && { state: await migrateKeyspace(state, 'STATE_UNREACHABLE', STATE_SCHEMAS) }),
    ...(views && { views: await migrateKeyspace(views, 'VIEWS_UNREACHABLE', [viewSchema]) }),
  };
}
