/**
 * Port: how far the turn under way has come, and how the last one ended.
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, KeyId } from '../../base/ids.ts';
import type { RowKey } from '../rows/vault-store.ts';

/** The steps of a turn, in their order. */
export const turnSteps = ['begun', 'apps', 'retired', 'tested', 'done'] as const;
export type TurnStep = (typeof turnSteps)[number];

/** A KMS key that a turn replaced, or a restore, or a copy to other engines. */
export interface ReplacedKey {
  readonly oldKmsKey: KeyId;
  /** Turns are numbered as they begin: a loss is covered by those that began after it. */
  readonly number: number;
  /** Apps that kept their keys in that turn: it covers nothing of them. */
  readonly failedApps: readonly AppId[];
  /**
   * The store that the key was made for, when that is another one: this store was restored or
   * copied from it. Only who knows that the original has ended may end its keys.
   */
  readonly original?: Original;
}

/** A row that does not authenticate, by its name. */
export type DamagedRow = Pick<RowKey, 'app' | 'kind' | 'id'>;

/** The store that another one came from. */
export interface Original {
  /** Its random id; null: it was made before stores had one. */
  readonly store: string | null;
  /** Its KMS has been seen with its keys, and has been told to end them. */
  readonly isEnding: boolean;
}

/** The record of one turn. */
export interface Turn extends ReplacedKey {
  readonly id: string;
  readonly step: TurnStep;
  readonly newKmsKey: KeyId;
  /** For people: no clock decides what a turn covers. */
  readonly startedAtMs: number;
  /** Who runs it, and when they last said so: one process at a time. */
  readonly runner: string;
  readonly aliveAtMs: number;
  /** When the old KMS key was gone; null: not yet. */
  readonly t1AtMs: number | null;
  /** Keys that were replaced before and that a KMS has still, oldest first. */
  readonly waiting?: readonly ReplacedKey[];
  /** The store was copied to other engines: nothing opens it any more. */
  readonly isClosed?: true;
  readonly buckets: number;
  readonly rows: number;
  /** Rows that do not authenticate: they stay as they are, and delay nobody else. */
  readonly damaged?: readonly DamagedRow[];
}

/** Keeps the newest turn, written by compare-and-set. Failures: VAULT_UNREACHABLE. */
export interface TurnStore {
  /** The newest turn, finished or not. */
  read(): Promise<Turn | undefined>;
  /** Records a turn, durably. False: `before` is not what is recorded any more. */
  write(turn: Turn, before: Turn | undefined): Promise<boolean>;
}
