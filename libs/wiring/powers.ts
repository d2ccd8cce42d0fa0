/**
 * The powers that services receive, each its own interface: ingest may create and use rings, the
 * reader may use them, privacy alone may shred, the projector gets nothing of the vault.
 */
import type { AccessKeyStore } from '../access/access-key-store.ts';
import type { AccessKeys } from '../access/access-keys.ts';
import type { AttackCredentials } from '../access/attack-credentials.ts';
import type { Certificates } from '../audit/certificates.ts';
import type { Clock } from '../base/clock.ts';
import type { KeyId } from '../base/ids.ts';
import type { Randomness } from '../base/random.ts';
import type { DeliveryLedger } from '../deliveries/delivery-ledger.ts';
import type { DurableClock } from '../event-log/clock-mark.ts';
import type { EventLog } from '../event-log/event-log.ts';
import type { LogCursors } from '../event-log/log-cursors.ts';
import type { IngestJournal } from '../journal/ingest-journal.ts';
import type { EventSealer } from '../keyring/event-sealer.ts';
import type { HolderWait } from '../keyring/holder-wait.ts';
import type { KeyringCreate, KeyringUse } from '../keyring/keyring.ts';
import type { KeyringHold } from '../keyring/keyring-hold.ts';
import type { KeyringShred } from '../keyring/keyring-shred.ts';
import type { RingCapture } from '../keyring/ring-capture.ts';
import type { StoreMac } from '../keyring/store-mac.ts';
import type { ErasureList } from '../requests/erasure-list.ts';
import type { RequestStore } from '../requests/request-store.ts';
import type { Directory, DirectoryShred, DirectoryWriter } from '../vault/directory/directory.ts';
import type { AppRegistry } from '../vault/keys/app-registry.ts';
import type { KnownPlaceRow } from '../vault/keys/list-heads.ts';
import type { KeyState, RootKms } from '../vault/keys/root-kms.ts';
import type { TakenRing } from '../vault/taking/row-judge.ts';
import type { EndedKeys } from '../vault/turn/end-originals.ts';
import type { EpochStatus } from '../vault/turn/epoch-status.ts';
import type { T1Listener } from '../vault/turn/epoch-t1.ts';
import type { OwnStore } from '../vault/turn/epoch-turn.ts';
import type { TurnOptions } from '../vault/turn/turn-run.ts';
import type { Turn } from '../vault/turn/turn-store.ts';
import type { PageReader } from '../views/cache/page-reader.ts';
import type { ViewCache } from '../views/cache/view-cache.ts';
import type { ViewReader, ViewRebuilder } from '../views/view-store.ts';

/** What every service may have. */
export interface CommonPowers {
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly apps: AppRegistry;
  readonly log: EventLog;
  readonly sealer: EventSealer;
  /** Places on the log, as callers carry them. */
  readonly cursors: LogCursors;
}

/** Ingest: creates and uses rings, writes the log and the ledger, asks privacy by requests. */
export interface IngestPowers extends CommonPowers {
  readonly keyring: KeyringUse;
  readonly directory: Directory;
  readonly directoryWriter: DirectoryWriter;
  readonly ledger: DeliveryLedger;
  readonly requests: Pick<RequestStore, 'sign'>;
  /** One clock a process: it never goes back and never repeats. */
  recordingClock(): Promise<DurableClock>;
  readonly views: ViewReader;
  readonly horizonDays: number;
  readonly journal: IngestJournal;
}

/** The projector: the log and the views, nothing of the vault. */
export interface ProjectorPowers {
  readonly log: EventLog;
  readonly views: ViewRebuilder;
}

/** The reader: uses rings, reads views and log. */
export interface ReaderPowers extends CommonPowers {
  readonly keyring: KeyringUse;
  readonly directory: Directory;
  readonly views: ViewReader;
  readonly pages: PageReader;
}

/** Privacy: alone may shred. */
export interface PrivacyPowers extends CommonPowers {
  readonly keyring: KeyringUse;
  readonly keyringShred: KeyringShred;
  readonly keyringHold: KeyringHold;
  readonly ringCapture: RingCapture;
  readonly holders: HolderWait;
  readonly directory: Directory;
  readonly directoryShred: DirectoryShred;
  readonly requests: RequestStore;
  readonly certificates: Certificates;
  readonly horizonDays: number;
  /** What the vault and its root lie in: certificates say what that means. */
  readonly engines: { readonly vault: 'sqlite' | 'cassandra'; readonly kms: 'local' | 'aws-kms' };
  /** The number of the newest turn that has begun; 0: none has. */
  newestTurn(): Promise<number>;
  /** How long a wait for T0 can last. */
  readonly leaseMs: number;
  /** What was erased, kept apart from the data. */
  readonly erasures: ErasureList;
  /** How far that list went when the newest backup began. */
  readonly backupStart: KnownPlaceRow;
  /** One clock a process: it never goes back and never repeats. */
  recordingClock(): Promise<DurableClock>;
  readonly accessKeys: Pick<AccessKeys, 'revoke' | 'isOpen'>;
  readonly accessKeyStore: AccessKeyStore;
  readonly attacks: AttackCredentials;
  readonly views: ViewReader;
  readonly pages: PageReader;
  readonly cache: Pick<ViewCache, 'drop'>;
  /** Is told the milliseconds from the first fence of an erasure to its T0. */
  onT0(milliseconds: number): void;
}

/** Turns of the epoch; privacy's, like all that takes key material away. */
export interface EpochPowers {
  /**
   * Runs a turn, or goes on with the one that was interrupted. `findLost` is asked what it is to
   * cover, when it has begun.
   */
  turn(
    options: Omit<TurnOptions, 'findTaken'> & { findLost?(): Promise<readonly TakenRing[]> },
  ): Promise<Turn>;
  status(): Promise<EpochStatus>;
  /** What the KMS says of the key at the root of the vault now. */
  rootKeyState(): Promise<KeyState>;
  /** Why that key is not taken to be this store's; undefined: it is. */
  foreignRootKey(): Promise<string | undefined>;
  /** Notes that this process serves with that key, or serves with it no more. */
  noteServing(isServing: boolean): Promise<void>;
  /** Keys that the KMS has destroyed and that are there again. */
  broughtBack(): Promise<KeyId[]>;
  /** Tells of turns whose T1 has come by now; it may tell twice. */
  settleT1(nowMs: number, listener: T1Listener): Promise<void>;
  /**
   * Gives a restored store, which nobody else has open, a key of its own for codes: of requests, of
   * turns, and of what comes onto the list of erasures. What the original has signed stays signed.
   */
  beginOwnCodes(): Promise<void>;
  /** Makes a restored vault a store of its own; see becomeOwnStore. */
  becomeOwnStore(as: OwnStore): Promise<Turn>;
  /** Ends the keys of the stores that this one came from, in the KMS that has them. */
  endOriginals(
    kms: RootKms,
    how: { readonly nowMs: number; readonly evenCopies: boolean },
  ): Promise<EndedKeys>;
  /** Ends the keys of the stores that were made of this one. */
  endCopies(): Promise<EndedKeys>;
}

/** Administration of apps and access keys. */
export interface AdministrationPowers {
  readonly apps: AppRegistry;
  readonly keyringCreate: KeyringCreate;
  readonly accessKeys: AccessKeys;
  readonly accessKeyStore: AccessKeyStore;
  readonly storeMac: StoreMac;
  readonly erasures: Pick<ErasureList, 'add'>;
  /** Leaves a mark in the state, by which it is known again. */
  markState(): Promise<void>;
  readonly clock: Clock;
  readonly randomness: Randomness;
}
