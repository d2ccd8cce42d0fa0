/**
 * Port: the rows of requests and of their afterlives. They lie in clear, and say what is taken and
 * what was reached: each carries a code, which whoever reads them checks (request-store.ts).
 *
 * Failures of every method: STATE_UNREACHABLE (retryable), STORE_FULL.
 */
import type { RequestId } from '../base/ids.ts';
import type { Afterlife, DoneRequest, PrivacyRequest, Signed } from './request.ts';

/** Rows, each durable when its call resolves. */
export interface RequestTable {
  /** Adds a request; one that is there already stays. */
  add(request: Signed<PrivacyRequest | DoneRequest>): Promise<void>;
  get(id: RequestId): Promise<Signed<PrivacyRequest | DoneRequest> | undefined>;
  /** As RequestStore has it. */
  open(limit: number): Promise<Signed<PrivacyRequest>[]>;
  /** Writes the step of an open one over what is there; false: nothing is. */
  record(request: Signed<PrivacyRequest>): Promise<boolean>;
  /**
   * Puts a done one in the place of an open one, and begins its afterlife. Can be repeated: one
   * that is done gets an afterlife again, if it has none. One that is not there gets none.
   */
  finish(done: Signed<DoneRequest>, afterlife: Signed<Afterlife>): Promise<void>;
  /** Removes a request that is not done. */
  drop(id: RequestId): Promise<void>;
  /** All that wait for T1 or for their reclaim, in no promised order. */
  afterlives(): Promise<Signed<Afterlife>[]>;
  afterlife(id: RequestId): Promise<Signed<Afterlife> | undefined>;
  /** Adds an afterlife; one that is there already stays. */
  addAfterlife(afterlife: Signed<Afterlife>): Promise<void>;
  /** Puts one in the place of the one that was read; false: it is not that one any more. */
  replaceAfterlife(read: Signed<Afterlife>, next: Signed<Afterlife>): Promise<boolean>;
  /** Puts another code on a request, open or done. */
  recode(id: RequestId, code: string): Promise<void>;
  /** All there are, for a copy to another engine. */
  all(): AsyncIterable<Signed<PrivacyRequest | DoneRequest>>;
  allAfterlives(): AsyncIterable<Signed<Afterlife>>;
}
