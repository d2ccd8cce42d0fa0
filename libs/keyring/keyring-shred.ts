/**
 * Port: the power to take key material away. Privacy alone receives it.
 *
 * Failures of every method: LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED.
 */
import type { LossId } from '../base/ids.ts';
import type { RingRef } from './ring.ts';
import type { Taken } from './ring-material.ts';

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
  /**
   * Is all of this taken: the ring, or subtrees of it? Of a ring that is not there nothing can be
   * opened. Nothing is changed.
   */
  isTaken(ref: RingRef, taken: readonly Taken[] | 'all'): Promise<boolean>;
  /**
   * Puts fences back where rings were taken: somebody has removed them, or changed them. Gives
   * those rings; what opens is left alone. Throws CONTENDED: a turn gives keys anew.
   */
  mendFences(refs: readonly RingRef[], erasure: LossId): Promise<RingRef[]>;
  /** By which erasure each ring became a fence, in their order; null: it is none. */
  fencedBy(refs: readonly RingRef[]): Promise<(LossId | null)[]>;
}
