/** Requests and their afterlives as engines store them: targets as JSON, times as whole numbers. */
import type { Afterlife, DoneRequest, PrivacyRequest, Signed } from './request.ts';

/** Numbers may come as whatever a driver has for 64 bits. */
export interface StoredRequest {
  readonly id: string;
  readonly app: string;
  readonly kind: string;
  readonly target: string;
  readonly step: string;
  /** Null in a request that is done. */
  readonly loss: string | null;
  readonly received_at: unknown;
  readonly changed_at: unknown;
  /** Null: nobody with the key has written it. */
  readonly code: string | null;
}

export interface StoredAfterlife {
  readonly id: string;
  readonly app: string;
  readonly kind: string;
  readonly target: string;
  readonly done_at: unknown;
  readonly loss: string | null;
  /** Null in rows of the first version: a turn that is numbered covers them. */
  readonly after_turn: unknown;
  readonly t1_at: unknown;
  readonly reclaimed_at: unknown;
  readonly code: string | null;
}

/** A stored request; its code tells whether who wrote it was checked by these types. */
export function toRequest(row: StoredRequest): Signed<PrivacyRequest | DoneRequest> {
  return {
    id: row.id,
    app: row.app,
    kind: row.kind,
    target: readTarget(row.target),
    step: row.step,
    ...(row.loss !== null && { loss: row.loss }),
    receivedAtMs: Number(row.received_at),
    changedAtMs: Number(row.changed_at),
    code: row.code ?? '',
  } as Signed<PrivacyRequest | DoneRequest>;
}

/** A stored afterlife. */
export function toAfterlife(row: StoredAfterlife): Signed<Afterlife> {
  const optional = (value: unknown) => (value === null ? null : Number(value));
  return {
    id: row.id,
    app: row.app,
    kind: row.kind,
    target: readTarget(row.target),
    doneAtMs: Number(row.done_at),
    loss: row.loss,
    afterTurn: Number(row.after_turn ?? 0),
    t1AtMs: optional(row.t1_at),
    reclaimedAtMs: optional(row.reclaimed_at),
    code: row.code ?? '',
  } as Signed<Afterlife>;
}

/** What is no JSON was written by somebody else: nothing carries a code over this. */
function readTarget(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Is this request not done? */
export function isOpen<Row extends PrivacyRequest | DoneRequest>(
  request: Row,
): request is Row & PrivacyRequest {
  return request.step !== 'done';
}
