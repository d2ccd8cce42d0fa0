/** Opens the engines that the configuration names; a driver is loaded only when one is named. */
import { openAccessKeyStoreSqlite } from '../access/sqlite/access-key-store-sqlite.ts';
import type { ErrorCode } from '../base/lethe-error.ts';
import type { Configuration } from '../configuration/configuration.ts';
import { openDeliveryStoreSqlite } from '../deliveries/sqlite/delivery-store-sqlite.ts';
import type { EventLog } from '../event-log/event-log.ts';
import { openClockMarkSqlite } from '../event-log/sqlite/clock-mark-sqlite.ts';
import { openEventLogSqlite } from '../event-log/sqlite/event-log-sqlite.ts';
import type { WakeSignal } from '../event-log/wake-signal.ts';
import type { IngestJournal } from '../journal/ingest-journal.ts';
import { createIngestJournalApart } from '../journal/ingest-journal-apart.ts';
import { createIngestJournalSqlite } from '../journal/sqlite/ingest-journal-sqlite.ts';
import type { ErasureList } from '../requests/erasure-list.ts';
import { openErasureListFile } from '../requests/file/erasure-list-file.ts';
import { openRequestStoreSqlite } from '../requests/sqlite/request-store-sqlite.ts';
import { openVaultCopySqlite } from '../vault/copy/sqlite/vault-copy-sqlite.ts';
import { openFeedStoreSqlite } from '../vault/feed/sqlite/feed-store-sqlite.ts';
import { openVaultStoreSqlite } from '../vault/rows/sqlite/vault-store-sqlite.ts';
import { openTurnStoreSqlite } from '../vault/turn/sqlite/turn-store-sqlite.ts';
import { openViewCacheMemory } from '../views/cache/memory/view-cache-memory.ts';
import type { ViewCache } from '../views/cache/view-cache.ts';
import { openViewStoreSqlite } from '../views/sqlite/view-store-sqlite.ts';
import type { Connections } from './connections.ts';
import type { LogStores, StateStores, VaultStores, ViewStores } from './opened-stores.ts';

/** What a process shares among the engines it opens. */
export interface EngineUse {
  readonly wake: WakeSignal;
  readonly connections: Connections;
}

/** The list of erasures; it is not made by being opened. */
export function openErasures({ erasuresFile }: Pick<Configuration, 'erasuresFile'>): ErasureList {
  return openErasureListFile(erasuresFile);
}

const nothing = async () => undefined;

export async function openLog(
  { log }: Pick<Configuration, 'log'>,
  { connections, wake }: EngineUse,
): Promise<LogStores> {
  if (log.engine === 'kafka') {
    const { openEventLogKafka } = await import('../event-log/kafka/event-log-kafka.ts');
    const opened = await openEventLogKafka(log);
    return { log: () => opened, close: () => opened.close() };
  }
  const open = (user = 'main') => connections.open(user, log.file, 'LOG_UNREACHABLE');
  return { log: (user) => openEventLogSqlite(open(user), { wake }), close: nothing };
}

export async function openViews(
  { views }: Pick<Configuration, 'views'>,
  { connections }: EngineUse,
): Promise<ViewStores> {
  if (views.engine === 'cassandra') {
    return (await import('./open-cassandra.ts')).openViewsCassandra(views);
  }
  const open = (user = 'main') => connections.open(user, views.file, 'VIEWS_UNREACHABLE');
  return { views: (user) => openViewStoreSqlite(open(user)), close: nothing };
}

/** Redis is not waited for: without it pages come from the views. */
export async function openCache({ cache }: Pick<Configuration, 'cache'>): Promise<ViewCache> {
  if (cache.engine === 'redis') {
    return (await import('../views/cache/redis/view-cache-redis.ts')).openViewCacheRedis(cache);
  }
  return openViewCacheMemory(cache.bytesMax);
}

/** Removes every page of every app that lies in a shared cache, as far as it can be reached. */
export async function removePages({ cache }: Pick<Configuration, 'cache'>): Promise<void> {
  if (cache.engine !== 'redis') return;
  await (await import('../views/cache/redis/view-cache-redis.ts')).removePagesRedis(cache);
}

export async function openState(
  { state }: Pick<Configuration, 'state'>,
  { connections }: EngineUse,
): Promise<StateStores> {
  if (state.engine === 'cassandra') {
    return (await import('./open-cassandra.ts')).openStateCassandra(state);
  }
  const database = connections.open('main', state.file, 'STATE_UNREACHABLE');
  return {
    deliveries: openDeliveryStoreSqlite(database),
    requests: openRequestStoreSqlite(database),
    clockMark: openClockMarkSqlite(database),
    accessKeys: openAccessKeyStoreSqlite(database),
    close: nothing,
  };
}

export async function openVault(
  { vault }: Pick<Configuration, 'vault'>,
  { connections }: EngineUse,
): Promise<VaultStores> {
  if (vault.engine === 'cassandra') {
    return (await import('./open-cassandra.ts')).openVaultCassandra(vault);
  }
  const database = connections.open('main', vault.file, 'VAULT_UNREACHABLE');
  const store = openVaultStoreSqlite(database);
  return {
    store,
    feed: openFeedStoreSqlite(database),
    turns: openTurnStoreSqlite(database),
    copy: openVaultCopySqlite(database, store),
    close: nothing,
  };
}

/** One file for log and state commits both at once; all else goes one after the other. */
export function openJournal(
  { log: { engine, ...at } }: Pick<Configuration, 'log'>,
  opened: { log: EventLog; state: StateStores },
  { connections, wake }: EngineUse,
): IngestJournal {
  const { log, state } = opened;
  if (engine === 'sqlite' && 'file' in at) {
    const code: ErrorCode = 'LOG_UNREACHABLE';
    const database = connections.open('main', at.file, code);
    return createIngestJournalSqlite({ database, partitions: log.partitions, wake });
  }
  return createIngestJournalApart({ log, ...state });
}
