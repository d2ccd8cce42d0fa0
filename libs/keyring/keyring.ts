/**
 * The ports to key material, split by power: ingest may use and create rings, the reader may use
 * them, privacy alone may shred. The projector receives none of them.
 *
 * Failures of every method: LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED when a
 * stored row does not authenticate, SEGMENT_MISSING when a part of a ring is gone without a fence.
 * Erased, absent and forgotten are results, never errors.
 */
import type { AppId, HoldId, LossId, OwnerId, SubjectId } from '../base/ids.ts';
import type { HmacKey } from '../codec/hash.ts';
import type { Ring, RingRef } from './ring.ts';
import type { Taken } from './ring-material.ts';
import type { WrappingKey } from './wrapping-key.ts';

/** What a ring turned out to be. */
export type RingOutcome = Ring | 'erased' | 'absent';

/** Use rings and the app's index and ledger keys. */
export interface KeyringUse {
  /**
   * Loads rings, from the cache while the lease is held, and runs `work` with one outcome per
   * reference, in their order. Concurrent misses for one ring share one load. Rings
   * must not be kept after `work` ends: their key material is zeroed once nobody uses them.
   */
  use<Result>(
    refs: readonly RingRef[],
    work: (outcomes: RingOutcome[]) => Promise<Result>,
  ): Promise<Result>;
  /**
   * The given rings from which something was taken since they were loaded: what was sealed or
   * unsealed with them must not be handed on. `known`: as far as the lease vouches for it, which is
   * enough before plaintext is handed on. `now`: as of this call, which an acknowledgement needs.
   */
  revoked(rings: readonly Ring[], as: 'known' | 'now'): Promise<Ring[]>;
  /**
   * May what was opened with these rings be handed on, this very moment? Synchronous: nothing can
   * come between this look and the hand that gives.
   */
  vouches(rings: readonly Ring[]): boolean;
  /** Calls back, at once, with the ids of owners, places and apps that lost something. */
  listen(listener: (lost: ReadonlySet<string> | 'unknown') => void): void;
  /** Changes with every loss that is applied: what was opened before is to be looked at again. */
  losses(): number;
  /** The key under which the app's external names are indexed. Undefined: no such app. */
  indexKey(app: AppId): Promise<HmacKey | undefined>;
  /** The key that wraps the delivery ledger's entries of a UTC day; made at first use. */
  ledgerKey(app: AppId, day: number): Promise<WrappingKey>;
  /** The key that wraps access keys' secrets: an app's, or the store's (account scope). */
  accessKey(app: AppId | 'store'): Promise<WrappingKey>;
}

/** Make rings. */
export interface KeyringCreate {
  /** Makes whole rings for references that have no row yet; where one exists it is left alone. */
  create(refs: readonly RingRef[]): Promise<void>;
}

/** Wrapped rings as they were; nothing in it is a key by itself. */
export interface CapturedRings {
  readonly count: number;
  /** Parts of large rings among them. */
  readonly segmentCount: number;
  /** How many of them today's KMS and vault still open: all until a turn, none after it. */
  countOpening(): Promise<number>;
}

/** How one holder of keys was passed. */
export interface PassedHolder {
  readonly holder: string;
  /** Where it answers requests; null: nowhere, as a command does not. */
  readonly door: string | null;
  /** `acknowledged`: it said so; `waited`: its lease ran out; `left`: it ended meanwhile. */
  readonly how: 'acknowledged' | 'waited' | 'left';
  readonly afterMs: number;
}

/** What is known when the wait for holders is over. */
export interface PassedHolders {
  readonly feedNumber: number;
  /** Wall time of T0, in milliseconds since 1970. */
  readonly t0Ms: number;
  readonly waitedMs: number;
  readonly holders: readonly PassedHolder[];
}

/** Take key material away. Every method is durable, and on the feed, when it resolves. */
export interface KeyringShred {
  /**
   * Turns rows into fences, durably. A ring that never was, or is a fence, is left alone. Throws
   * HELD when there is a hold on one, unless `evenHeld`: it belongs to what has been taken already.
   */
  shred(refs: readonly RingRef[], erasure: LossId, evenHeld?: 'evenHeld'): Promise<void>;
  /** Takes subtrees out of a ring, durably. */
  puncture(
    ref: RingRef,
    taken: readonly Taken[],
    erasure: LossId,
  ): Promise<'done' | 'erased' | 'absent'>;
  /** By which erasure each ring became a fence, in their order; null: it is none. */
  fencedBy(refs: readonly RingRef[]): Promise<(LossId | null)[]>;
  /** Takes down what an attacker with the vault's disk would have of these rings right now. */
  capture(refs: readonly RingRef[]): Promise<CapturedRings>;
  /**
   * Waits until no running process can use what was taken before this call: each holder has said
   * so, or its lease has run out. The moment it resolves is T0.
   */
  passHolders(): Promise<PassedHolders>;
  /** Drops from the feed what every holder has heard. */
  pruneFeed(): Promise<void>;
}

/** Legal holds and merges: they change ring rows, so that they and an erasure cannot both win. */
export interface KeyringHold {
  /**
   * Puts a hold on a person, and on whom they were merged with, durably. Nothing of theirs can be
   * shred from then on; what is under way may still take something that is not their own ring.
   */
  hold(app: AppId, subject: SubjectId, hold: HoldId): Promise<'held' | 'erased' | 'absent'>;
  /** Takes a hold away, with the app parts that only it kept. */
  release(app: AppId, subject: SubjectId, hold: HoldId): Promise<void>;
  /** Everybody in the app on whom there is a hold. */
  heldSubjects(app: AppId): Promise<SubjectId[]>;
  /** Of these owners, those on whom there is a hold: as of this call. */
  areHeld(app: AppId, owners: readonly OwnerId[]): Promise<boolean[]>;
  /** Before the app loses days, a held person's ring receives what opens their own of them. */
  keepDays(app: AppId, subject: SubjectId, days: { fromDay: number; toDay: number }): Promise<void>;
  /**
   * Ties the ring of a person to that of whom they turned out to be: whoever erases or holds one
   * does so to both. `erased`: the other was erased first, and this one is now, by `by`. Holds are
   * shared. `absent`: one of them never was, and nothing changed.
   */
  merge(
    app: AppId,
    of: { readonly discarded: SubjectId; readonly survivor: SubjectId },
    by: LossId,
  ): Promise<'merged' | 'erased' | 'absent'>;
  /** Whom a person was merged with, themselves included, through any number of merges. */
  mergedWith(app: AppId, subject: SubjectId): Promise<SubjectId[]>;
}
