/**
 * Port: the requests that take something away, with the step each has reached. A step is recorded
 * before it is done and can be repeated, so that a request resumes after a crash. A request names
 * its target by random ids only, and forgets it when it is done. What is done has an afterlife: T1,
 * and the day its events leave the log.
 *
 * Failures of every method: STATE_UNREACHABLE (retryable), STORE_FULL.
 */
import type { LossId } from '../base/ids.ts';
import type { Afterlife, DoneRequest, OpenStep, PrivacyRequest } from './request.ts';

/** Requests and their afterlives, each durable when its call resolves. */
export interface RequestStore {
  /** Records a request, durably. */
  add(request: PrivacyRequest | DoneRequest): Promise<void>;
  get(id: LossId): Promise<PrivacyRequest | DoneRequest | undefined>;
  /**
   * Requests that are not done, oldest first: those that nobody has begun, and those that have not
   * moved since `idleSinceMs`.
   */
  open(limit: number, idleSinceMs: number): Promise<PrivacyRequest[]>;
  /**
   * Records the step that is about to be done. A request that is done stays done: a slower worker
   * on it changes nothing. False: it is not there, because it was refused meanwhile.
   */
  record(id: LossId, step: OpenStep, nowMs: number): Promise<boolean>;
  /**
   * Ends a request: its target is forgotten and its afterlife begins, with the target if that is
   * needed to know its events by. Can be repeated.
   */
  finish(
    id: LossId,
    ended: {
      readonly nowMs: number;
      readonly keepsTarget: boolean;
      /** The newest turn that has begun, read when everything of the request was written. */
      readonly afterTurn: number;
    },
  ): Promise<void>;
  /** Removes a request that was refused: nothing of it was done. */
  drop(id: LossId): Promise<void>;
  /** All that wait for T1 or for their reclaim, in no promised order. */
  afterlives(): Promise<Afterlife[]>;
  afterlife(id: LossId): Promise<Afterlife | undefined>;
  /** Notes what was reached; what was noted before stays. */
  reach(id: LossId, reached: { t1AtMs?: number; reclaimedAtMs?: number }): Promise<void>;
  /** Puts the time of an end earlier: it was noted by a clock that was ahead. */
  endedBy(id: LossId, atMs: number): Promise<void>;
  /** All there are, done or not, for a copy to another engine. */
  all(): AsyncIterable<PrivacyRequest | DoneRequest>;
  allAfterlives(): AsyncIterable<Afterlife>;
  /** Writes an afterlife as it is; one that is there already stays. */
  loadAfterlife(afterlife: Afterlife): Promise<void>;
}
