/**
 * The ports to key material, split by power: ingest may use and create rings, the reader may use
 * them, privacy alone may shred. The projector receives none of them.
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), VAULT_TAMPERED when a stored row does
 * not authenticate, SEGMENT_MISSING when a part of a ring is gone without a fence. Erased, absent
 * and forgotten are results, never errors.
 */
import type { AppId, ErasureId } from '../base/ids.ts';
import type { HmacKey } from '../codec/hash.ts';
import type { Ring, RingRef } from './ring.ts';
import type { Taken } from './ring-material.ts';
import type { WrappingKey } from './wrapping-key.ts';

/** What a ring turned out to be. */
export type RingOutcome = Ring | 'erased' | 'absent';

/** Use rings and the app's index and ledger keys. */
export interface KeyringUse {
  /**
   * Loads rings, from the cache where the vault's version is unchanged, and runs `work` with one
   * outcome per reference, in their order. Concurrent misses for one ring share one load. Rings
   * must not be kept after `work` ends: their key material is zeroed once nobody uses them.
   */
  use<Result>(
    refs: readonly RingRef[],
    work: (outcomes: RingOutcome[]) => Promise<Result>,
  ): Promise<Result>;
  /**
   * The given rings whose row has changed since they were loaded: what was sealed or unsealed with
   * them must not be handed on. Stale rings are dropped from the cache.
   */
  stale(rings: readonly Ring[]): Promise<Ring[]>;
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

/** Take key material away. */
export interface KeyringShred {
  /** Turns rows into fences, durably. A ring that never was, or is a fence, is left alone. */
  shred(refs: readonly RingRef[], erasure: ErasureId): Promise<void>;
  /** Takes subtrees out of a ring, durably. */
  puncture(ref: RingRef, taken: readonly Taken[]): Promise<'done' | 'erased' | 'absent'>;
}
