/**
 * Port: the requests that take something away, with the step each has reached. A step is recorded
 * before it is done and can be repeated, so that a request resumes after a crash. A request names
 * its target by random ids only, and forgets it when it is done.
 *
 * Failures of every method: STATE_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, ErasureId } from '../base/ids.ts';

export type RequestKind =
  | 'erase-subject'
  | 'clear-profile'
  | 'forget-message'
  | 'clear-conversation'
  | 'delete-conversation'
  | 'forget-days'
  | 'erase-app';

/** What a request is about; which fields are set depends on its kind. */
export interface RequestTarget {
  readonly subject?: string;
  readonly conversation?: string;
  readonly message?: string;
  /** Days, both included, counted from 1970-01-01; without a subject, everybody's. */
  readonly fromDay?: number;
  readonly toDay?: number;
  /** The place that was current when the request was made: a repeated clear takes no newer one. */
  readonly place?: string;
}

export interface PrivacyRequest {
  /** Also the id of the erasure in every fence it makes. */
  readonly id: ErasureId;
  readonly app: AppId;
  readonly kind: RequestKind;
  readonly target: RequestTarget;
  /** `received` (nobody began it), `begun`, the step that runs or ran last, or `done`. */
  readonly step: string;
  readonly receivedAtMs: number;
  readonly changedAtMs: number;
}

export interface RequestStore {
  /** Records a request, durably. */
  add(request: PrivacyRequest): Promise<void>;
  get(id: ErasureId): Promise<PrivacyRequest | undefined>;
  /**
   * Requests that are not done, oldest first: those that nobody has begun, and those that have not
   * moved since `idleSinceMs`.
   */
  open(limit: number, idleSinceMs: number): Promise<PrivacyRequest[]>;
  /**
   * Records the step that is about to be done; `done` also drops the target. A request that is done
   * stays done: a slower worker on the same request changes nothing.
   */
  record(id: ErasureId, step: string, nowMs: number): Promise<void>;
}
