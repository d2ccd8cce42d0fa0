/**
 * Port: the requests that take something away, with the step each has reached. A step is recorded
 * before it is done and can be repeated, so that a request resumes after a crash. A request names
 * its target by random ids only, and forgets it when it is done. What is done has an afterlife: T1,
 * and the day its events leave the log.
 *
 * Failures of every method: STATE_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, LossId } from '../base/ids.ts';

export type RequestKind =
  | 'erase-subject'
  | 'clear-profile'
  | 'forget-message'
  | 'forget-attachment'
  | 'clear-conversation'
  | 'delete-conversation'
  | 'forget-days'
  | 'erase-app'
  /** What was kept for a hold goes with it. */
  | 'release-hold'
  /** `subject` turns out to be `other`. */
  | 'merge-subjects';

/** What a request is about; which fields are set depends on its kind. */
export interface RequestTarget {
  readonly subject?: string;
  readonly other?: string;
  readonly conversation?: string;
  readonly message?: string;
  readonly attachment?: string;
  readonly hold?: string;
  /** Days, both included, counted from 1970-01-01; without a subject, everybody's. */
  readonly fromDay?: number;
  readonly toDay?: number;
  /** Of days: only this retention class; without it, all that age. */
  readonly retentionClass?: number;
  /** The place that was current when the request was made: a repeated clear takes no newer one. */
  readonly place?: string;
}

export interface PrivacyRequest {
  /** Also the id of the erasure in every fence it makes. */
  readonly id: LossId;
  readonly app: AppId;
  readonly kind: RequestKind;
  readonly target: RequestTarget;
  /** `received` (nobody began it), `begun`, the step that runs or ran last, or `done`. */
  readonly step: string;
  readonly receivedAtMs: number;
  readonly changedAtMs: number;
}

/** What has come, after a request was done, of what it took. */
export interface Afterlife {
  readonly id: LossId;
  readonly app: AppId;
  readonly kind: RequestKind;
  /** Of a forget, until its events are reclaimed: a hole in a ring does not say whose it is. */
  readonly target: RequestTarget;
  readonly doneAtMs: number;
  /** When the old KMS key was gone; null: not yet. */
  readonly t1AtMs: number | null;
  /** When its events were removed from log and views; null: not yet. */
  readonly reclaimedAtMs: number | null;
}

export interface RequestStore {
  /** Records a request, durably. */
  add(request: PrivacyRequest): Promise<void>;
  get(id: LossId): Promise<PrivacyRequest | undefined>;
  /**
   * Requests that are not done, oldest first: those that nobody has begun, and those that have not
   * moved since `idleSinceMs`.
   */
  open(limit: number, idleSinceMs: number): Promise<PrivacyRequest[]>;
  /**
   * Records the step that is about to be done; `done` also drops the target and begins its
   * afterlife. A request that is done stays done: a slower worker on it changes nothing. False: it
   * is not there, because it was refused meanwhile.
   */
  record(id: LossId, step: string, nowMs: number): Promise<boolean>;
  /** Removes a request that was refused: nothing of it was done. */
  drop(id: LossId): Promise<void>;
  /** All that wait for T1 or for their reclaim, in no promised order. */
  afterlives(): Promise<Afterlife[]>;
  afterlife(id: LossId): Promise<Afterlife | undefined>;
  /** Notes what was reached; what was noted before stays. */
  reach(id: LossId, reached: { t1AtMs?: number; reclaimedAtMs?: number }): Promise<void>;
  /** All there are, done or not, for a copy to another engine. */
  all(): AsyncIterable<PrivacyRequest>;
  allAfterlives(): AsyncIterable<Afterlife>;
  /** Writes an afterlife as it is; one that is there already stays. */
  loadAfterlife(afterlife: Afterlife): Promise<void>;
}
