/**
 * Port: how far the turn under way has come, and how the last one ended.
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, KeyId } from '../../base/ids.ts';

/** The steps of a turn, in their order. */
export const turnSteps = ['begun', 'apps', 'retired', 'tested', 'done'] as const;
export type TurnStep = (typeof turnSteps)[number];

/** A KMS key that a turn replaced. */
export interface ReplacedKey {
  readonly oldKmsKey: KeyId;
  readonly startedAtMs: number;
  readonly failedApps: readonly AppId[];
}

/** The record of one turn. */
export interface Turn extends ReplacedKey {
  readonly id: string;
  readonly step: TurnStep;
  readonly newKmsKey: KeyId;
  /** What was erased before this is covered by the turn's T1, and nothing later. */
  readonly startedAtMs: number;
  /** Who runs it, and when they last said so: one process at a time. */
  readonly runner: string;
  readonly aliveAtMs: number;
  /** When the old KMS key was gone; null: not yet. */
  readonly t1AtMs: number | null;
  /** Apps that kept their keys, and whose T1 waits for the next turn. */
  readonly failedApps: readonly AppId[];
  /** Keys that earlier turns replaced and the KMS has still, oldest first. */
  readonly waiting?: readonly ReplacedKey[];
  readonly buckets: number;
  readonly rows: number;
}

/** Keeps the newest turn, written by compare-and-set. Failures: VAULT_UNREACHABLE. */
export interface TurnStore {
  /** The newest turn, finished or not. */
  read(): Promise<Turn | undefined>;
  /** Records a turn, durably. False: `before` is not what is recorded any more. */
  write(turn: Turn, before: Turn | undefined): Promise<boolean>;
}
