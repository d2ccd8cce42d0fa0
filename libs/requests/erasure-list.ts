/**
 * Port: the list of what was erased, forgotten and cleared, kept apart from the data: whoever
 * restores an old backup applies what is newer. It holds random ids only.
 *
 * Failures of every method: STATE_UNREACHABLE.
 */
import type { AppId, HoldId, LossId, SubjectId } from '../base/ids.ts';
import type { Nothing, RequestKind, RequestTargets } from './request.ts';

interface Listed {
  /** The id of the request, or of the hold. */
  readonly id: LossId;
  readonly app: AppId;
  readonly atMs: number;
}

/** A request that began to take something away. */
export type ListedRequest = {
  [Kind in RequestKind]: Listed & { readonly kind: Kind; readonly target: RequestTargets[Kind] };
}[RequestKind];

/** A hold that was granted. */
export interface ListedHold extends Listed {
  readonly kind: 'hold';
  readonly target: { readonly subject: SubjectId; readonly hold: HoldId };
}

/** What was listed under this id before was refused: nothing of it was done. */
export interface Withdrawal extends Listed {
  readonly kind: 'withdrawn';
  readonly target: Nothing;
}

/** One entry of the list. */
export type ListedErasure = ListedRequest | ListedHold | Withdrawal;

/** The list; it outlives the store that wrote it. */
export interface ErasureList {
  /** Adds entries, durably. */
  add(erasures: readonly ListedErasure[]): Promise<void>;
  /** Makes an empty list unless there is one: that there is none means that it was lost. */
  begin(): Promise<void>;
  isThere(): Promise<boolean>;
  /** All of them, in their order; one may be listed more than once. */
  read(): Promise<ListedErasure[]>;
}
