/**
 * The ports to rings, split by power: the reader may use them, ingest may make them too. What takes
 * key material away, holds it or captures it has ports of its own, which privacy alone receives.
 *
 * Failures of every method: LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED when a
 * stored row does not authenticate, SEGMENT_MISSING when a part of a ring is gone without a fence.
 * Erased, absent and forgotten are results, never errors.
 */
import type { Ring, RingRef } from './ring.ts';

/** What a ring turned out to be. */
export type RingOutcome = Ring | 'erased' | 'absent';

/** Use rings. */
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
  /**
   * Calls back, at once, with the ids of owners, places and apps that lost something. The loss is
   * acknowledged, and T0 can come, when what the listener returned has resolved.
   */
  listen(listener: (lost: ReadonlySet<string> | 'unknown') => void | Promise<void>): void;
  /** Changes with every loss that is applied: what was opened before is to be looked at again. */
  losses(): number;
  /**
   * Makes sure that the lease is held, by one look at the feed if need be. Throws LEASE_LOST: the
   * feed cannot be reached, so nothing may be handed on.
   */
  renewLease(): Promise<void>;
}

/** Make rings. */
export interface KeyringCreate {
  /** Makes whole rings for references that have no row yet; where one exists it is left alone. */
  create(refs: readonly RingRef[]): Promise<void>;
}
