/** Opens the engines that the configuration names, and hands out each power by itself. */
import { join } from 'node:path';
import { openAccessKeyStoreSqlite } from '../access/access-key-store-sqlite.ts';
import { type AccessKeys, createAccessKeys } from '../access/access-keys.ts';
import { openCertificatesFile } from '../audit/certificates-file.ts';
import { type Clock, type HolderClocks, systemClock, systemHolderClocks } from '../base/clock.ts';
import { type ErrorCode, LetheError } from '../base/lethe-error.ts';
import { createSystemRandomness, type Randomness } from '../base/random.ts';
import { SqliteDatabase } from '../base/sqlite-database.ts';
import { createDeliveryLedger } from '../deliveries/delivery-ledger.ts';
import { openDeliveryStoreSqlite } from '../deliveries/delivery-store-sqlite.ts';
import { type DurableClock, openDurableClock } from '../event-log/clock-mark.ts';
import { openClockMarkSqlite } from '../event-log/clock-mark-sqlite.ts';
import type { EventLog } from '../event-log/event-log.ts';
import { openEventLogSqlite } from '../event-log/event-log-sqlite.ts';
import { createWakeSignal, type WakeSignal } from '../event-log/wake-signal.ts';
import { sealEvent } from '../keyring/event-sealer.ts';
import { openErasureListFile } from '../requests/erasure-list-file.ts';
import { openRequestStoreSqlite } from '../requests/request-store-sqlite.ts';
import { createAppRegistry } from '../vault/app-registry.ts';
import { createDirectory } from '../vault/directory.ts';
import { createDirectoryWriter } from '../vault/directory-writer.ts';
import { readEpochStatus } from '../vault/epoch-status.ts';
import { closeTurn, runTurn } from '../vault/epoch-turn.ts';
import type { FeedStore } from '../vault/feed-store.ts';
import { openFeedStoreSqlite } from '../vault/feed-store-sqlite.ts';
import { createLossFeed } from '../vault/feed-wait.ts';
import { createKeyringHold } from '../vault/holds.ts';
import { createKeyHierarchy } from '../vault/key-hierarchy.ts';
import { openKeyLease } from '../vault/key-lease.ts';
import { STORE_ROOT } from '../vault/key-slots.ts';
import { openTurnStoreSqlite } from '../vault/turn-store-sqlite.ts';
import { checkVault, type VaultFindings } from '../vault/vault-check.ts';
import { createVaultKeyring, type VaultKeyring } from '../vault/vault-keyring.ts';
import { createVaultShred } from '../vault/vault-shred.ts';
import type { VaultStore } from '../vault/vault-store.ts';
import { openVaultStoreSqlite } from '../vault/vault-store-sqlite.ts';
import { openViewStoreSqlite } from '../views/view-store-sqlite.ts';
import type { Configuration } from './configuration.ts';
import { type Connections, openConnections } from './connections.ts';
import { createIngestJournalSqlite } from './ingest-journal-sqlite.ts';
import { openRootKms } from './open-root-kms.ts';
import type {
  AdministrationPowers,
  CommonPowers,
  EpochPowers,
  IngestPowers,
  PrivacyPowers,
  ProjectorPowers,
  ReaderPowers,
} from './powers.ts';

/** The opened engines. Each power is made when it is asked for. */
export interface Backends {
  readonly wake: WakeSignal;
  ingest(): IngestPowers;
  projector(): ProjectorPowers;
  reader(): ReaderPowers;
  privacy(): PrivacyPowers;
  administration(): AdministrationPowers;
  epoch(): EpochPowers;
  /** Copies log, state and vault into a folder, in this order, beside live writers. */
  copyData(folder: string): Promise<void>;
  /** After a restore: another incarnation of the feed, so that every holder drops its keys. */
  renewFeed(): Promise<void>;
  /** The vault's rows themselves, for self-checks and attacks. */
  vaultStore(): VaultStore;
  /** Looks at every row of the vault for what an attacker with the disk would leave. */
  vaultCheck(): Promise<VaultFindings>;
  /** Tells where this process answers requests, so that an erasure can be attacked there. */
  announce(door: string): Promise<void>;
  /** How many times the root KMS was called. */
  kmsCallCount(): number;
  /** Ends this process's registration as a holder of keys, and the connections. */
  close(): Promise<void>;
}

/** Names of the files in a copy. */
export const LOG_COPY = 'lethe.db';
export const VAULT_COPY = 'vault.db';

interface OpenOptions {
  readonly clock?: Clock;
  readonly randomness?: Randomness;
  readonly holderClocks?: HolderClocks;
  readonly wake?: WakeSignal;
  /** Stands before the feed: drills cut a process off, or stop it, here. */
  readonly overFeed?: (feed: FeedStore) => FeedStore;
}

/**
 * Opens the engines. Throws CONFIGURATION_INVALID, FORMAT_UNKNOWN, ROOT_KMS_DENIED or an engine's
 * "unreachable"; nothing is changed then.
 */
export async function openBackends(
  configuration: Configuration,
  options: OpenOptions = {},
): Promise<Backends> {
  const clock = options.clock ?? systemClock;
  const randomness = options.randomness ?? createSystemRandomness();
  const wake = options.wake ?? createWakeSignal();
  const connections = openConnections();
  try {
    const database = (file: string, code: ErrorCode) => connections.open('main', file, code);
    const vaultFile = database(configuration.vaultFile, 'VAULT_UNREACHABLE');
    const store = openVaultStoreSqlite(vaultFile);
    const engines = openEngines(configuration, { wake, connections });
    await assertVaultOfLog(store, engines.log());
    const kms = openRootKms(configuration, randomness);
    const clocks = options.holderClocks ?? systemHolderClocks;
    const feed = (options.overFeed ?? ((one) => one))(openFeedStoreSqlite(vaultFile));
    const { leaseMs } = configuration;
    const lease = openKeyLease({ feed, clocks, randomness, leaseMs });
    const hierarchy = createKeyHierarchy({ store, kms, randomness, lease });
    await hierarchy.storeRoot();
    const apps = createAppRegistry({ store, hierarchy, randomness });
    const keyring = createVaultKeyring({ store, hierarchy, apps, randomness, lease });
    const directory = createDirectory({ store, hierarchy, apps, keyring });
    const lossFeed = createLossFeed({ feed, clocks });
    const turns = openTurnStoreSqlite(vaultFile);
    const vault = { store, hierarchy, apps, keyring, directory, randomness, lease, lossFeed };
    const common = { clock, randomness, apps };
    return {
      wake,
      ...handOut({ configuration, common, vault, engines }),
      epoch: () => ({
        turn: (given) => runTurn({ ...vault, turns, kms }, given),
        status: () => readEpochStatus({ ...vault, turns, kms }),
        closeTurn: () => closeTurn({ turns }),
      }),
      async copyData(folder) {
        // The log first: the vault that is copied after it has every ring that its events need.
        await connections
          .open('main', configuration.logFile, 'LOG_UNREACHABLE')
          .copyTo(join(folder, LOG_COPY));
        await vaultFile.copyTo(join(folder, VAULT_COPY));
      },
      renewFeed: () => feed.renew(),
      vaultStore: () => store,
      vaultCheck: () => checkVault(vault),
      announce: (door) => lease.announce(door),
      kmsCallCount: () => kms.callCount,
      async close() {
        await lease.close();
        connections.close();
      },
    };
  } catch (error) {
    connections.close();
    throw error;
  }
}

/** A new vault beside an old log is a mistake: no event of it could ever be opened again. */
async function assertVaultOfLog(store: VaultStore, log: EventLog): Promise<void> {
  const [root] = await store.versions([STORE_ROOT]);
  if (root !== undefined || (await log.endOffsets()).every((end) => end === 0)) return;
  throw new LetheError(
    'CONFIGURATION_INVALID',
    'LETHE_VAULT: this vault is empty, but LETHE_LOG holds events that another one seals: ' +
      'name the vault that belongs to the log',
  );
}

/** The projector's part alone: it opens no vault and no key folder. */
export function openProjectorBackends(
  configuration: Configuration,
  wake: WakeSignal,
): ProjectorPowers & { close(): void } {
  const connections = openConnections();
  // On the log the projector writes its checkpoints alone. One that is lost with the machine means
  // that records come again, and an fsync for each would keep ingest from its own.
  const database = new SqliteDatabase(configuration.logFile, 'LOG_UNREACHABLE', { fsync: false });
  connections.adopt('main', configuration.logFile, database);
  const { log, views } = openEngines(configuration, { wake, connections });
  return { log: log(), views: views(), close: () => connections.close() };
}

type Engines = ReturnType<typeof openEngines>;

function openEngines(
  configuration: Configuration,
  use: { wake: WakeSignal; connections: Connections },
) {
  const { connections, wake } = use;
  const { logFile, stateFile, viewsFile } = configuration;
  const log = (user: string) => connections.open(user, logFile, 'LOG_UNREACHABLE');
  const state = (user: string) => connections.open(user, stateFile, 'STATE_UNREACHABLE');
  const views = (user: string) => connections.open(user, viewsFile, 'VIEWS_UNREACHABLE');
  return {
    log: (user = 'main') => openEventLogSqlite(log(user), { wake }),
    views: (user = 'main') => openViewStoreSqlite(views(user)),
    deliveries: () => openDeliveryStoreSqlite(state('main')),
    requests: () => openRequestStoreSqlite(state('main')),
    clockMark: () => openClockMarkSqlite(state('main')),
    accessKeys: () => openAccessKeyStoreSqlite(state('main')),
    journal: (eventLog: EventLog) => {
      const { partitions } = eventLog;
      return createIngestJournalSqlite({ database: log('main'), partitions, wake });
    },
  };
}

function handOut(from: {
  configuration: Configuration;
  common: Omit<CommonPowers, 'log'>;
  vault: Parameters<typeof createVaultShred>[0] & { keyring: VaultKeyring };
  engines: Engines;
}) {
  const { configuration, common, vault, engines } = from;
  const { keyring, directory } = vault;
  const accessKeyStore = () => engines.accessKeys();
  const accessKeys = () => {
    return createAccessKeys({ store: accessKeyStore(), keyring, randomness: common.randomness });
  };
  let clock: Promise<DurableClock> | undefined;
  const recordingClock = () => {
    clock ??= openDurableClock(engines.clockMark(), common.clock);
    return clock;
  };
  return {
    ingest: (): IngestPowers => {
      const store = engines.deliveries();
      const log = engines.log();
      return {
        ...common,
        log,
        keyring,
        directory: {
          ...directory,
          ...createDirectoryWriter(vault),
        },
        ledger: createDeliveryLedger({ store, keyring }),
        requests: engines.requests(),
        recordingClock,
        views: engines.views(),
        horizonDays: configuration.horizonDays,
        journal: engines.journal(log),
        sealEvent,
      };
    },
    projector: (): ProjectorPowers => ({
      log: engines.log('projector'),
      views: engines.views('projector'),
    }),
    reader: (): ReaderPowers => ({
      ...common,
      log: engines.log(),
      keyring,
      directory,
      views: engines.views(),
    }),
    privacy: () => privacyPowers(from, recordingClock, accessKeys()),
    administration: (): AdministrationPowers => {
      const { apps, clock } = common;
      return {
        apps,
        keyring,
        accessKeys: accessKeys(),
        accessKeyStore: accessKeyStore(),
        clock,
      };
    },
  };
}

function privacyPowers(
  from: Parameters<typeof handOut>[0],
  recordingClock: () => Promise<DurableClock>,
  accessKeys: AccessKeys,
): PrivacyPowers {
  const { configuration, common, vault, engines } = from;
  const { keyring, directory } = vault;
  const shred = createVaultShred(vault);
  return {
    ...common,
    log: engines.log(),
    keyring: { ...keyring, ...shred, ...createKeyringHold(vault) },
    directory: { ...directory, ...shred },
    requests: engines.requests(),
    erasures: openErasureListFile(configuration.erasuresFile),
    certificates: openCertificatesFile({
      folder: configuration.certificatesFolder,
      keyFolder: configuration.kmsFolder,
    }),
    horizonDays: configuration.horizonDays,
    leaseMs: configuration.leaseMs,
    recordingClock,
    accessKeyStore: engines.accessKeys(),
    accessKeys,
    views: engines.views(),
  };
}
