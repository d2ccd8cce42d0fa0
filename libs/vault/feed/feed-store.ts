/**
 * Port: the feed, the numbered list of what was taken from rings, and the rows of the holders of
 * keys who follow it. Entries are numbered without gaps under one incarnation; they name rows by
 * random ids and hold nothing else. Everything carries a code: who can write here, but has no key,
 * is found out by who reads (signed-feed.ts).
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
  /** `everything`: what was lost cannot be known. */
  readonly rows: readonly FeedRow[] | 'everything';
  /** Over the entry and the code of the one before. */
  readonly code: string;
}

/** The newest entry; a restore begins another incarnation. */
export interface FeedHead {
  readonly incarnation: string;
  /** 0 before the first entry. */
  readonly number: number;
  /** Its code; empty before the first entry. */
  readonly code: string;
}

/** How far a holder of keys has come. */
export interface HolderRow {
  readonly id: string;
  /** It has closed everything that entries up to this one took away. */
  readonly acknowledged: number;
  /** The code of that entry: two that had the same number are two. */
  readonly entryCode: string;
  readonly code: string;
}

/** A holder's row, and where it answers requests: `http://host:port` with a code of its own. */
export type HolderRowWithDoor = HolderRow & { readonly door: string | null };

/** The roster of holders as it is kept; null is what nobody with the key has written. */
export interface RosterRow {
  readonly text: string | null;
  readonly code: string | null;
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
  /** Adds the row of a holder. */
  addHolder(row: HolderRow): Promise<void>;
  /** Writes how far a holder has come; one that is not there is left alone. */
  acknowledge(row: HolderRow): Promise<void>;
  /** Tells where a holder answers requests. */
  announce(id: string, door: string): Promise<void>;
  holders(): Promise<HolderRowWithDoor[]>;
  removeHolder(id: string): Promise<void>;
  /** Undefined: nobody has written one. */
  roster(): Promise<RosterRow | undefined>;
  /** Puts a roster in the place of the one that was read; false: it is not that one any more. */
  replaceRoster(read: RosterRow | undefined, next: RosterRow): Promise<boolean>;
  /** Begins another incarnation without entries, holders or roster; of the id, if one is given. */
  renew(incarnation?: string): Promise<void>;
}
