/**
 * Port: where the vault's rows lie. It stores wrapped bytes and knows no key. Every write is
 * conditional on the row's version and on the key that the bucket (or app, or store) holds now.
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, KeyId, LossId, SegmentId } from '../../base/ids.ts';

/** Kinds of row; the number is part of each wrap's associated data. */
export const rowKinds = {
  storeRoot: 1,
  appRoot: 2,
  indexKey: 3,
  accessKey: 4,
  ledgerKey: 5,
  bucketKey: 6,
  appRecord: 7,
  /** Keys that a turn replaced, until everything under them was wrapped anew. */
  storeRootPrevious: 8,
  appRootPrevious: 9,
  bucketKeyPrevious: 10,
  appRing: 11,
  ownerRing: 12,
  placeRing: 13,
  identity: 21,
  alias: 22,
  externalConversation: 23,
  subject: 24,
  conversation: 25,
  member: 26,
  hold: 27,
  /** Where the list of erasures stands: how far it goes, and from where a restore applies it. */
  listHead: 28,
} as const;
/** The number of a kind. */
export type RowKind = (typeof rowKinds)[keyof typeof rowKinds];

/** Kinds of row that lie in a bucket, under its key. */
export const BUCKETED_KINDS: readonly RowKind[] = [
  rowKinds.appRing,
  rowKinds.ownerRing,
  rowKinds.placeRing,
  rowKinds.identity,
  rowKinds.alias,
  rowKinds.externalConversation,
  rowKinds.subject,
  rowKinds.conversation,
  rowKinds.member,
  rowKinds.hold,
];

/** Kinds of row whose losses every holder of keys hears of by the feed. */
export const FOLLOWED_KINDS: readonly RowKind[] = [
  rowKinds.appRoot,
  rowKinds.appRing,
  rowKinds.ownerRing,
  rowKinds.placeRing,
];

/** Numbered as in each wrap's associated data; 2 is kept for people who are restricted. */
export const rowStates = { active: 1, erased: 3 } as const;
export type RowState = (typeof rowStates)[keyof typeof rowStates];

/** Names a row. Rows of the store itself have the app id NO_ID. */
export interface RowKey {
  readonly app: AppId;
  readonly bucket: number;
  readonly kind: RowKind;
  readonly id: string;
}

/** A row as it is stored. */
export interface VaultRow extends RowKey {
  /** 1 at the first write, raised by one at each later one. */
  readonly version: number;
  readonly state: RowState;
  /** The key this row is wrapped under: a bucket key, an app root, the store root, a KMS key. */
  readonly wrappingKey: KeyId;
  /** For rows that hold a wrapping key: its id. */
  readonly ownKey: KeyId | null;
  readonly holds: readonly string[];
  readonly edges: readonly string[];
  readonly wrapped: Buffer;
  /** In a fence: which erasure made it, and the SHA-256 of the last wrapped bytes. */
  readonly erasure: LossId | null;
  readonly fingerprint: Buffer | null;
  /** What this row lost is not known to be on the feed: the loss that still has to be entered. */
  readonly owed: LossId | null;
}

/** Writes that are applied together or not at all; all lie in one (app, bucket). */
export interface VaultBatch {
  /** The bucket has a new key: its mark is taken away, in the same commit. */
  readonly cleans?: { readonly app: AppId; readonly bucket: number };
  /** A row that must still hold this key. */
  readonly guard?: { readonly key: RowKey; readonly ownKey: KeyId };
  /**
   * `row.version` 1 inserts only if absent, or where the row has a version that nobody writes; N
   * replaces only version N - 1.
   */
  readonly puts?: readonly VaultRow[];
  /** Written after these, which stand before it in the same commit, if all of them were done. */
  readonly needs?: readonly VaultBatch[];
  /** It takes something away: the bucket is marked for the next turn, in the same commit. */
  readonly dirties?: true;
  /** Removes only this version, and, of a row with a key of its own, only while it holds that. */
  readonly removals?: readonly Removal[];
}

/** A row that is to go, as it was read. */
export type Removal = RowKey & { readonly version: number; readonly ownKey?: KeyId | null };

/** `conflict`: a condition did not hold, and nothing of the batch was written. */
export type BatchOutcome = 'done' | 'conflict';

/** Version and state of a row. */
export interface RowVersion {
  readonly version: number;
  readonly state: RowState;
}

/** The vault's rows and segments. */
export interface VaultStore {
  /**
   * `everywhere`: a guard is checked in the commit itself wherever it lies. `inPartition`: only
   * when it lies in the (app, bucket) that is written; else it is looked at before and after, and
   * an insertion that came too late is undone.
   */
  readonly guards: 'everywhere' | 'inPartition';
  /** One row or undefined per key, in their order. */
  read(keys: readonly RowKey[]): Promise<(VaultRow | undefined)[]>;
  versions(keys: readonly RowKey[]): Promise<(RowVersion | undefined)[]>;
  /**
   * Applies batches, each by itself; all that were done are durable on return. Those of one
   * (app, bucket) are applied in order, others in any but that which `needs` asks for.
   */
  commit(batches: readonly VaultBatch[]): Promise<BatchOutcome[]>;
  /** A loss of these rows is on the feed: they do not owe it any more. */
  entered(keys: readonly RowKey[], loss: LossId): Promise<void>;
  /** All rows of a kind, in no promised order; of one app or of all. */
  scan(kind: RowKind, app?: AppId): AsyncIterable<VaultRow>;
  readSegments(app: AppId, ids: readonly SegmentId[]): Promise<(Buffer | undefined)[]>;
  writeSegments(app: AppId, parts: readonly { id: SegmentId; wrapped: Buffer }[]): Promise<void>;
  removeSegments(app: AppId, ids: readonly SegmentId[]): Promise<void>;
  /** Buckets that lost something since the last turn, by app. */
  dirtyBuckets(): Promise<{ app: AppId; bucket: number }[]>;
  /** All rows that lie in a bucket, without its key; `buckets` is the app's number of them. */
  scanBucket(place: { app: AppId; buckets: number; bucket: number }): AsyncIterable<VaultRow>;
  /** After a shred: overwrites what the engine itself still keeps of removed bytes, if it can. */
  scrub(): Promise<void>;
}

const KIND_NAMES = new Map(Object.entries(rowKinds).map(([name, kind]) => [kind, name]));

/** Names a row for whoever looks at the tables: random ids alone. */
export function rowInWords({ app, bucket, kind, id }: RowKey): string {
  const name = `${KIND_NAMES.get(kind)} (kind ${kind}, bucket ${bucket}, id ${id})`;
  return `the row ${name} of the app ${app}`;
}

/** The text form of a row key, for maps. */
export function rowKeyToText(key: Pick<RowKey, 'app' | 'kind' | 'id'>): string {
  return `${key.app}${key.kind}.${key.id}`;
}
