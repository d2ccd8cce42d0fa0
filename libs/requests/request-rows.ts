/** Requests and their afterlives as engines store them: targets as JSON, times as whole numbers. */
import type { Afterlife, DoneRequest, PrivacyRequest } from './request.ts';

/** Numbers may come as whatever a driver has for 64 bits. */
export interface StoredRequest {
  readonly id: string;
  readonly app: string;
  readonly kind: string;
  readonly target: string;
  readonly step: string;
  readonly received_at: unknown;
  readonly changed_at: unknown;
}

export interface StoredAfterlife {
  readonly id: string;
  readonly app: string;
  readonly kind: string;
  readonly target: string;
  readonly done_at: unknown;
  /** Null in rows of the first version: a turn that is numbered covers them. */
  readonly after_turn: unknown;
  readonly t1_at: unknown;
  readonly reclaimed_at: unknown;
}

/** A stored request; kind and target were checked by the types of whoever wrote them. */
export function toRequest(row: StoredRequest): PrivacyRequest | DoneRequest {
  return {
    id: row.id,
    app: row.app,
    kind: row.kind,
    target: JSON.parse(row.target),
    step: row.step,
    receivedAtMs: Number(row.received_at),
    changedAtMs: Number(row.changed_at),
  } as PrivacyRequest | DoneRequest;
}

/** A stored afterlife. */
export function toAfterlife(row: StoredAfterlife): Afterlife {
  const optional = (value: unknown) => (value === null ? null : Number(value));
  return {
    id: row.id,
    app: row.app,
    kind: row.kind,
    target: JSON.parse(row.target),
    doneAtMs: Number(row.done_at),
    afterTurn: Number(row.after_turn ?? 0),
    t1AtMs: optional(row.t1_at),
    reclaimedAtMs: optional(row.reclaimed_at),
  } as Afterlife;
}

/** Is this request not done? */
export function isOpen(request: PrivacyRequest | DoneRequest): request is PrivacyRequest {
  return request.step !== 'done';
}
