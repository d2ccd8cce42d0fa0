/** Opens the engines that the configuration names; a driver is loaded only when one is named. */
import type { ErrorCode } from '../base/lethe-error.ts';
import type { Configuration } from '../configuration/configuration.ts';
import type { EventLog } from '../event-log/event-log.ts';
import type { IngestJournal } from '../journal/ingest-journal.ts';
import { createIngestJournalApart } from '../journal/ingest-journal-apart.ts';
import { createIngestJournalSqlite } from '../journal/sqlite/ingest-journal-sqlite.ts';
import type { ErasureEntries } from '../requests/erasure-list.ts';
import { openErasureEntriesFile } from '../requests/file/erasure-entries-file.ts';
import { openViewCacheMemory } from '../views/cache/memory/view-cache-memory.ts';
import type { ViewCache } from '../views/cache/view-cache.ts';
import type { Engine, EngineUse, Migrated, StorePart } from './engines/engine.ts';
import { sqliteEngine } from './engines/sqlite-engine.ts';
import type { LogStores, StateStores, VaultStores, ViewStores } from './opened-stores.ts';

/** The engines that a part of a store can lie on. */
type StoreEngine = Configuration[StorePart];
type Named<Name> = Extract<StoreEngine, { readonly engine: Name }>;

const engines: { readonly [Name in StoreEngine['engine']]: () => Promise<Engine<Named<Name>>> } = {
  sqlite: async () => sqliteEngine,
  cassandra: async () => (await import('./engines/cassandra-engine.ts')).cassandraEngine,
  kafka: async () => (await import('./engines/kafka-engine.ts')).kafkaEngine,
};

function engineOf<Name extends StoreEngine['engine']>(settings: {
  readonly engine: Name;
}): Promise<Engine<Named<Name>>> {
  return engines[settings.engine]();
}

/** Opens the log. Throws CONFIGURATION_INVALID (not migrated), LOG_UNREACHABLE. */
export async function openLog(
  { log }: Pick<Configuration, 'log'>,
  shared: EngineUse,
): Promise<LogStores> {
  return (await engineOf(log)).openLog!(log, shared);
}

/** Opens the vault. Throws CONFIGURATION_INVALID (not migrated), VAULT_UNREACHABLE. */
export async function openVault(
  { vault }: Pick<Configuration, 'vault'>,
  shared: EngineUse,
): Promise<VaultStores> {
  return (await engineOf(vault)).openVault!(vault, shared);
}

/** Opens the state. Throws CONFIGURATION_INVALID (not migrated), STATE_UNREACHABLE. */
export async function openState(
  { state }: Pick<Configuration, 'state'>,
  shared: EngineUse,
): Promise<StateStores> {
  return (await engineOf(state)).openState!(state, shared);
}

/** Opens the views. Throws CONFIGURATION_INVALID (not migrated), VIEWS_UNREACHABLE. */
export async function openViews(
  { views }: Pick<Configuration, 'views'>,
  shared: EngineUse,
): Promise<ViewStores> {
  return (await engineOf(views)).openViews!(views, shared);
}

const PARTS: readonly StorePart[] = ['log', 'vault', 'state', 'views'];

/**
 * Makes and upgrades what the configured engines need before anybody serves from them; embedded
 * engines need nothing. Can be repeated. Throws CONFIGURATION_INVALID (a setting of a topic is
 * wrong), or an engine's "unreachable".
 */
export async function migrateEngines(configuration: Configuration): Promise<Migrated[]> {
  const migrated: Migrated[] = [];
  for (const part of PARTS) {
    const settings = configuration[part];
    const done = await (await engineOf(settings)).migrate?.(part, settings);
    if (done !== undefined) migrated.push({ engine: part, done });
  }
  return migrated;
}

/** Entries of the list of erasures; no place for them is made by being opened. */
export function openErasures(configuration: Pick<Configuration, 'erasuresFolder'>): ErasureEntries {
  return openErasureEntriesFile(configuration.erasuresFolder);
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
