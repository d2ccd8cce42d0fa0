/**
 * Port: the list of what was erased, forgotten and cleared, kept apart from the data: whoever
 * restores an old backup applies what is newer. It holds random ids only.
 *
 * Failures of every method: STATE_UNREACHABLE.
 */
import type { AppId, LossId } from '../base/ids.ts';
import type { RequestKind, RequestTarget } from './request-store.ts';

export interface ListedErasure {
  readonly id: LossId;
  readonly app: AppId;
  /** `withdrawn`: what was listed under this id before was refused. `hold`: a hold was granted. */
  readonly kind: RequestKind | 'withdrawn' | 'hold';
  readonly target: RequestTarget;
  readonly atMs: number;
}

export interface ErasureList {
  /** Adds entries, durably. */
  add(erasures: readonly ListedErasure[]): Promise<void>;
  /** Makes an empty list unless there is one: that there is none means that it was lost. */
  begin(): Promise<void>;
  isThere(): Promise<boolean>;
  /** All of them, in their order; one may be listed more than once. */
  read(): Promise<ListedErasure[]>;
}
