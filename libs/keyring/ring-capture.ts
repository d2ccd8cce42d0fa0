/**
 * Port: takes down wrapped rings as an attacker with the vault's disk would, to try them later.
 *
 * Failures of every method: LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED.
 */
import type { RingRef } from './ring.ts';

/** Wrapped rings as they were; nothing in it is a key by itself. */
export interface CapturedRings {
  readonly count: number;
  /** Parts of large rings among them. */
  readonly segmentCount: number;
  /** How many of them today's KMS and vault still open: all until a turn, none after it. */
  countOpening(): Promise<number>;
}

/** Captures rings. */
export interface RingCapture {
  /** Takes down what an attacker with the vault's disk would have of these rings right now. */
  capture(refs: readonly RingRef[]): Promise<CapturedRings>;
}
