/**
 * Port: the feed, the numbered list of what was taken from rings, and the holders of keys who
 * follow it. Entries are numbered without gaps under one incarnation; they name rows by random ids
 * and hold nothing else.
 *
 * A write that has resolved is seen by every read that begins afterwards, in any process.
 * Failures: VAULT_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, LossId } from '../../base/ids.ts';
import type { RowKind } from '../rows/vault-store.ts';

/** A row of the vault that lost something. */
export interface FeedRow {
  readonly app: AppId;
  readonly kind: RowKind;
  readonly id: string;
}

export interface FeedEntry {
  readonly number: number;
  readonly erasure: LossId;
  readonly rows: readonly FeedRow[];
}

/** The newest number, 0 before the first entry; a restore begins another incarnation. */
export interface FeedHead {
  readonly incarnation: string;
  readonly number: number;
}

/** A process that holds keys. */
export interface Holder {
  readonly id: string;
  /** How long it may use keys after a sync began. */
  readonly leaseMs: number;
  /** It has closed everything that entries up to this one took away. */
  readonly acknowledged: number;
  /** Wall time at which it was struck off: it can sync no more. */
  readonly struckAtMs: number | null;
  /** Where it answers requests, `http://host:port`; null: nowhere, or not told yet. */
  readonly door: string | null;
}

/** The feed and the holders that follow it. Failures: VAULT_UNREACHABLE (retryable). */
export interface FeedStore {
  head(): Promise<FeedHead>;
  /** Adds an entry with this number, durably; false unless it is the next one. */
  append(entry: FeedEntry): Promise<boolean>;
  /** Entries after a number, in their order. */
  entries(after: number, limit: number): Promise<FeedEntry[]>;
  /** Removes entries before a number; the newest always stays. */
  prune(before: number): Promise<void>;
  register(holder: Pick<Holder, 'id' | 'leaseMs' | 'acknowledged'>): Promise<void>;
  /** Tells where a registered holder answers requests. */
  announce(id: string, door: string): Promise<void>;
  holder(id: string): Promise<Holder | undefined>;
  holders(): Promise<Holder[]>;
  /** Raises what a holder has acknowledged; a struck or unknown one is left alone. */
  acknowledge(id: string, number: number): Promise<void>;
  /** Strikes a holder off unless it was before. */
  strike(id: string, atMs: number): Promise<void>;
  remove(id: string): Promise<void>;
  /** Begins another incarnation without entries or holders; of the given id, if one is given. */
  renew(incarnation?: string): Promise<void>;
}
