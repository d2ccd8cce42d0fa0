/** Opens the engines that the configuration names, and hands out each power by itself. */
import { createAccessKeys } from '../access/access-keys.ts';
import { type AttackCredentials, createAttackCredentials } from '../access/attack-credentials.ts';
import { openCertificatesFile } from '../audit/file/certificates-file.ts';
import { type Clock, type HolderClocks, systemClock, systemHolderClocks } from '../base/clock.ts';
import type { LossId } from '../base/ids.ts';
import { createSystemRandomness, type Randomness, randomId } from '../base/random.ts';
import type { Configuration } from '../configuration/configuration.ts';
import { createDeliveryLedger } from '../deliveries/delivery-ledger.ts';
import { type DurableClock, openDurableClock } from '../event-log/clock-mark.ts';
import type { EventLog } from '../event-log/event-log.ts';
import { createLogCursors } from '../event-log/log-cursors.ts';
import { createRecordCodes, type RecordCodes, withCodes } from '../event-log/record-codes.ts';
import { createWakeSignal, type WakeSignal } from '../event-log/wake-signal.ts';
import type { AppKeys } from '../keyring/app-keys.ts';
import { createEventSealer, type EventSealer } from '../keyring/event-sealer.ts';
import { passOverDamage } from '../keyring/past-damage.ts';
import type { RingRef } from '../keyring/ring.ts';
import { createErasureList } from '../requests/erasure-list.ts';
import { createRequestStore, type RequestStore } from '../requests/request-store.ts';
import { hasStoreRoot } from '../vault/copy/fill-vault.ts';
import { type ForsakenGroup, settleDirectory } from '../vault/copy/settle-directory.ts';
import {
  checkRings,
  checkVault,
  type RingFindings,
  type VaultFindings,
} from '../vault/copy/vault-check.ts';
import { createDirectoryTable, type DirectoryContext } from '../vault/directory/directory-table.ts';
import { createDirectoryWriter } from '../vault/directory/directory-writer.ts';
import { createDirectory } from '../vault/directory/vault-directory.ts';
import type { FeedStore } from '../vault/feed/feed-store.ts';
import { createLossFeed } from '../vault/feed/feed-wait.ts';
import { openKeyLease } from '../vault/feed/key-lease.ts';
import { createSignedFeed } from '../vault/feed/signed-feed.ts';
import { createKeyringHold } from '../vault/holds/holds.ts';
import { createAppRegistry } from '../vault/keys/app-registry.ts';
import { createFeedMac } from '../vault/keys/feed-key.ts';
import { createKeyHierarchy, type KeyHierarchy } from '../vault/keys/key-hierarchy.ts';
import { createListHeads } from '../vault/keys/list-heads.ts';
import { readRecordKey } from '../vault/keys/record-key.ts';
import type { RootKms } from '../vault/keys/root-kms.ts';
import { signDoor } from '../vault/keys/signed-doors.ts';
import { createAppKeys } from '../vault/keys/vault-app-keys.ts';
import type { VaultContext } from '../vault/keys/vault-context.ts';
import { createStoreMac, type StoreMacs } from '../vault/keys/vault-store-mac.ts';
import { createVaultKeyring, type VaultKeyring } from '../vault/rings/vault-keyring.ts';
import type { VaultStore } from '../vault/rows/vault-store.ts';
import { createDirectoryShred } from '../vault/taking/directory-shred.ts';
import { createRingCapture } from '../vault/taking/ring-captures.ts';
import { createHolderWait, createKeyringShred } from '../vault/taking/ring-shred.ts';
import { rootKmsKey } from '../vault/turn/epoch-status.ts';
import { newestTurn } from '../vault/turn/epoch-t1.ts';
import { createTurnStore, type DamagedRow, type TurnStore } from '../vault/turn/turn-store.ts';
import { createPageReader } from '../views/cache/page-reader.ts';
import type { CacheCounts, ViewCache } from '../views/cache/view-cache.ts';
import { openConnections } from './connections.ts';
import type { EngineUse } from './engines/engine.ts';
import { epochPowers } from './epoch-powers.ts';
import {
  openCache,
  openErasures,
  openJournal,
  openLog,
  openState,
  openVault,
  openViews,
} from './open-engines.ts';
import { openRootKms } from './open-root-kms.ts';
import type { StateStores, VaultStores } from './opened-stores.ts';
import type {
  AdministrationPowers,
  CommonPowers,
  EpochPowers,
  IngestPowers,
  PrivacyPowers,
  ProjectorPowers,
  ReaderPowers,
} from './powers.ts';
import { tellRecordKey } from './record-key-telling.ts';
import {
  assertMayBeMade,
  assertNotClosed,
  assertRestored,
  assertStateOfVault,
  assertThere,
  assertVaultOfLog,
  hasBegun,
  noStore,
} from './store-place.ts';

/** What is copied of a store, and what its process shares. */
export interface OpenedEngines {
  readonly use: EngineUse;
  readonly vault: VaultStores;
  readonly state: StateStores;
}

/** The opened engines. Each power is made when it is asked for. */
export interface Backends {
  readonly wake: WakeSignal;
  ingest(): IngestPowers;
  projector(): ProjectorPowers;
  reader(): ReaderPowers;
  privacy(): PrivacyPowers;
  administration(): AdministrationPowers;
  epoch(): EpochPowers;
  /** The opened engines themselves, for what copies or replaces a store as a whole. */
  readonly engines: OpenedEngines;
  /** The record of turns, for what copies a store as a whole. */
  readonly turns: TurnStore;
  /** What this store's records are known by on a log that others may append to. */
  readonly codes: RecordCodes;
  /** The vault's rows themselves, for self-checks and attacks. */
  vaultStore(): VaultStore;
  /**
   * Looks at every row of the vault for what an attacker with the disk would leave. A fault that
   * `original` has too, byte by byte, is not counted.
   */
  vaultCheck(original?: Pick<VaultStore, 'read'>): Promise<VaultFindings>;
  /** What became of the rings that events name. */
  ringCheck(refs: readonly RingRef[]): Promise<RingFindings>;
  /** Begins the roster of holders, where nobody can have used this vault's keys yet. */
  beginFeed(): Promise<void>;
  /** Begins another incarnation of the feed, under another key: every holder drops its keys. */
  renewFeed(): Promise<void>;
  /** How many other processes that hold keys of this store are alive; it waits for a lease. */
  otherHolders(): Promise<number>;
  /** Makes the directory of a copied vault one again; the groups that are to end. */
  settleDirectory(damaged: readonly DamagedRow[]): Promise<ForsakenGroup[]>;
  /** Tells where this process answers requests, so that an erasure can be attacked there. */
  announce(door: string): Promise<void>;
  /** Lets the attack of an erasure in at this process's doors. */
  readonly attacks: AttackCredentials & { holderId(): string | undefined };
  /** How many times the root KMS was called. */
  kmsCallCount(): number;
  /** How many of them failed. */
  kmsFailureCount(): number;
  /** How many events this process sealed and opened. */
  sealerCounts(): EventSealer['counts'];
  /** Calls back with the milliseconds from the first fence of each erasure to its T0. */
  onT0(listener: (milliseconds: number) => void): void;
  /** How long this process may use keys without hearing more from the feed. */
  leaseLeftMs(): number;
  /** What the cache of hot pages gave, did not have, and failed to answer. */
  cacheCounts(): CacheCounts;
  /** Ends this process's registration as a holder of keys, and the connections. */
  close(): Promise<void>;
}

/** The opened engines, with the variables that named them. */
export interface OpenStore {
  readonly configuration: Configuration;
  readonly backends: Backends;
}

interface OpenOptions {
  /** The time of day; the clock that only runs forward is the system's. */
  readonly clock?: Pick<Clock, 'nowMs'>;
  readonly randomness?: Randomness;
  readonly holderClocks?: HolderClocks;
  readonly wake?: WakeSignal;
  /** Whoever only looks makes no store: without one, INPUT_INVALID is thrown. */
  readonly mustExist?: true;
  /** Also what a restore has put in place and not finished: that restore itself. */
  readonly evenUnfinished?: true;
  /** Also a store that was copied and closed. */
  readonly evenClosed?: true;
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
  const { clock: given = systemClock } = options;
  const clock: Clock = { ...systemClock, nowMs: () => given.nowMs() };
  const randomness = options.randomness ?? createSystemRandomness();
  const wake = options.wake ?? createWakeSignal();
  if (!options.evenUnfinished) assertRestored(configuration);
  await (options.mustExist ? assertThere : assertMayBeMade)(configuration);
  const use = { wake, connections: openConnections() };
  const opened = await openEngines(configuration, use);
  const closing = new AbortController();
  try {
    const { store } = opened.vault;
    if (!options.evenClosed) await assertNotClosed(opened.vault.turns);
    await assertVaultOfLog(store, opened.logs.log());
    if (options.mustExist && !(await hasStoreRoot(store))) throw noStore('this vault is empty');
    const kms = await openRootKms(configuration, randomness);
    const clocks = options.holderClocks ?? systemHolderClocks;
    const feedMac = createFeedMac(() => hierarchy);
    const feedStore = options.overFeed?.(opened.vault.feed) ?? opened.vault.feed;
    const feed = createSignedFeed({ store: feedStore, mac: feedMac, randomness });
    const lease = openKeyLease({ feed, clocks, randomness, leaseMs: configuration.leaseMs });
    const lossFeed = createLossFeed({ feed, clocks, randomness });
    const hierarchy = createKeyHierarchy({ store, kms, randomness, lease, lossFeed });
    const isBegun = await hasBegun(opened.vault, configuration);
    await assertStateOfVault(store, opened.state);
    await hierarchy.storeRoot();
    // Without a root nobody could hold keys.
    if (!isBegun) await feed.begin();
    const apps = createAppRegistry({ store, hierarchy, randomness });
    const context = { store, hierarchy, apps, randomness, lease, lossFeed };
    const keys = createAppKeys(context);
    const keyring = createVaultKeyring(context);
    const table = createDirectoryTable({ ...context, keys });
    const vault = { ...context, keys, keyring, table };
    const mac = createStoreMac(vault);
    const turns = createTurnStore(opened.vault.turns, mac, () => rootKmsKey(store));
    if (!isBegun) await turns.begin();
    const requests = createRequestStore(opened.state.requests, mac);
    const attacks = createAttackCredentials({ mac });
    const cursors = createLogCursors({ mac, randomness, incarnation: () => lease.incarnation() });
    const codes = await openCodes(opened, hierarchy, closing.signal);
    const sealer = createEventSealer(randomness);
    const common = { clock, randomness, apps, sealer, cursors };
    const t0Listeners = new Set<(milliseconds: number) => void>();
    return {
      wake,
      ...handOut({
        configuration,
        common,
        vault,
        mac,
        requests,
        turns,
        attacks,
        codes,
        engines: opened,
        t0Listeners,
      }),
      epoch: () => epochPowers({ ...vault, turns, kms }, { mac, requests }),
      engines: { use, vault: opened.vault, state: opened.state },
      turns,
      codes,
      vaultStore: () => store,
      vaultCheck: (original) => checkVault(vault, original),
      ringCheck: (refs) => checkRings(vault, refs),
      beginFeed: () => feed.begin(),
      async renewFeed() {
        await feedMac.renew();
        await feed.renew();
      },
      otherHolders: () => countOthers(context),
      settleDirectory: (damaged) => settleDirectory(vault, damaged),
      announce: (door) => lease.announce((holder) => signDoor(mac, holder, door)),
      attacks: { ...attacks, holderId: () => lease.holderId },
      ...countsOf({ kms, sealer, cache: opened.cache }),
      onT0: (listener) => void t0Listeners.add(listener),
      leaseLeftMs: () => lease.leftMs(),
      async close() {
        closing.abort();
        await lease.close();
        await opened.close();
      },
    };
  } catch (error) {
    closing.abort();
    await opened.close();
    throw error;
  }
}

function countsOf({
  kms,
  sealer,
  cache,
}: {
  kms: RootKms;
  sealer: EventSealer;
  cache: ViewCache;
}): Pick<Backends, 'kmsCallCount' | 'kmsFailureCount' | 'sealerCounts' | 'cacheCounts'> {
  return {
    kmsCallCount: () => kms.callCount,
    kmsFailureCount: () => kms.failureCount,
    sealerCounts: () => sealer.counts,
    cacheCounts: () => cache.counts,
  };
}

/** The codes of records; the projector is told of them where others may write to the log. */
async function openCodes(
  { logs, views }: Engines,
  hierarchy: KeyHierarchy,
  closing: AbortSignal,
): Promise<RecordCodes> {
  const read = () => readRecordKey(hierarchy);
  if (logs.log().isOpenToOthers) {
    // Where it is damaged nothing is appended; all else goes on.
    await passOverDamage(() => tellRecordKey(views(), read, closing));
  }
  return createRecordCodes(read);
}

/** An entry that takes nothing: whoever acknowledges it is alive. */
async function countOthers({
  lossFeed,
  lease,
  randomness,
}: Pick<VaultContext, 'lossFeed' | 'lease' | 'randomness'>): Promise<number> {
  await lossFeed.enter([], randomId<LossId>(randomness));
  const { holders } = await lossFeed.pass();
  const others = holders.filter(({ holder, how }) => {
    return how === 'acknowledged' && holder !== lease.holderId;
  });
  return others.length;
}

type Engines = Awaited<ReturnType<typeof openEngines>>;

async function openEngines(configuration: Configuration, use: EngineUse) {
  const closing: { close(): Promise<void> }[] = [];
  const keep = <Opened extends { close(): Promise<void> }>(one: Opened) => {
    closing.push(one);
    return one;
  };
  async function close() {
    await Promise.all(closing.map((one) => one.close()));
    use.connections.close();
  }
  try {
    const vault = keep(await openVault(configuration, use));
    const logs = keep(await openLog(configuration, use));
    const state = keep(await openState(configuration, use));
    const { views } = keep(await openViews(configuration, use));
    const cache = keep(await openCache(configuration));
    const journal = (log: EventLog) => openJournal(configuration, { log, state }, use);
    return { vault, logs, state, views, cache, journal, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function handOut(from: {
  configuration: Configuration;
  common: Omit<CommonPowers, 'log'>;
  vault: DirectoryContext & { keys: AppKeys; keyring: VaultKeyring };
  mac: StoreMacs;
  requests: RequestStore;
  turns: TurnStore;
  attacks: AttackCredentials;
  codes: RecordCodes;
  t0Listeners: ReadonlySet<(milliseconds: number) => void>;
  engines: Engines;
}) {
  const { configuration, common, vault, engines } = from;
  const { keyring, keys } = vault;
  const directory = createDirectory(vault.table);
  const { state, views } = engines;
  const log = (user?: 'projector') => withCodes(engines.logs.log(user), from.codes);
  let clock: Promise<DurableClock> | undefined;
  const recordingClock = () => {
    clock ??= openDurableClock(state.clockMark, common.clock);
    return clock;
  };
  return {
    ingest: (): IngestPowers => {
      return {
        ...common,
        log: log(),
        keyring,
        directory,
        directoryWriter: createDirectoryWriter(vault),
        ledger: createDeliveryLedger({ store: state.deliveries, keys }),
        requests: from.requests,
        recordingClock,
        views: views(),
        horizonDays: configuration.horizonDays,
        journal: engines.journal(log()),
      };
    },
    projector: (): ProjectorPowers => ({
      log: log('projector'),
      views: views('projector'),
    }),
    reader: (): ReaderPowers => ({
      ...common,
      log: log(),
      keyring,
      directory,
      views: views(),
      pages: createPageReader({ views: views(), cache: engines.cache, keys: vault.keys }),
    }),
    privacy: () => privacyPowers(from, recordingClock),
    administration: (): AdministrationPowers => {
      const { apps, clock, randomness } = common;
      return {
        apps,
        keyringCreate: keyring,
        accessKeys: accessKeysOf(from),
        accessKeyStore: state.accessKeys,
        storeMac: from.mac,
        erasures: erasureList(from),
        markState: () => state.clockMark.raise(clock.nowMs()),
        clock,
        randomness,
      };
    },
  };
}

function accessKeysOf({ configuration, common, vault, engines }: Parameters<typeof handOut>[0]) {
  const { isEndlessTokenAllowed } = configuration;
  const { randomness } = common;
  const store = engines.state.accessKeys;
  return createAccessKeys({ store, keys: vault.keys, randomness, isEndlessTokenAllowed });
}

function erasureList({ configuration, vault, mac }: Parameters<typeof handOut>[0]) {
  const { head: known, backup: spare } = createListHeads(vault);
  const keys = { mac, formers: mac.formers, known, spare };
  return createErasureList(openErasures(configuration), keys);
}

function privacyPowers(
  from: Parameters<typeof handOut>[0],
  recordingClock: () => Promise<DurableClock>,
): PrivacyPowers {
  const { configuration, common, vault, mac, attacks, engines } = from;
  const heads = createListHeads(vault);
  return {
    ...common,
    log: withCodes(engines.logs.log(), from.codes),
    keyring: vault.keyring,
    keyringShred: createKeyringShred(vault),
    keyringHold: createKeyringHold(vault),
    ringCapture: createRingCapture(vault),
    holders: createHolderWait(vault, mac),
    attacks,
    directory: createDirectory(vault.table),
    directoryShred: createDirectoryShred(vault),
    requests: from.requests,
    erasures: erasureList(from),
    backupStart: heads.backup,
    certificates: openCertificatesFile({
      folder: configuration.certificatesFolder,
      keyFolder: configuration.signingFolder,
    }),
    horizonDays: configuration.horizonDays,
    newestTurn: () => newestTurn(from),
    engines: { vault: configuration.vault.engine, kms: configuration.kms.engine },
    leaseMs: configuration.leaseMs,
    recordingClock,
    accessKeys: accessKeysOf(from),
    accessKeyStore: engines.state.accessKeys,
    views: engines.views(),
    pages: createPageReader({ views: engines.views(), cache: engines.cache, keys: vault.keys }),
    cache: engines.cache,
    onT0(milliseconds) {
      for (const tell of from.t0Listeners) tell(milliseconds);
    },
  };
}
