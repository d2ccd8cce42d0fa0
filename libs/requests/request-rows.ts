/** Requests and their afterlives as engines store them: targets as JSON, times as whole numbers. */
import type { AppId, LossId } from '../base/ids.ts';
import type { Afterlife, PrivacyRequest, RequestKind } from './request-store.ts';

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
  readonly t1_at: unknown;
  readonly reclaimed_at: unknown;
}

export function toRequest(row: StoredRequest): PrivacyRequest {
  return {
    id: row.id as LossId,
    app: row.app as AppId,
    kind: row.kind as RequestKind,
    target: JSON.parse(row.target),
    step: row.step,
    receivedAtMs: Number(row.received_at),
    changedAtMs: Number(row.changed_at),
  };
}

export function toAfterlife(row: StoredAfterlife): Afterlife {
  const optional = (value: unknown) => (value === null ? null : Number(value));
  return {
    id: row.id as LossId,
    app: row.app as AppId,
    kind: row.kind as RequestKind,
    target: JSON.parse(row.target),
    doneAtMs: Number(row.done_at),
    t1AtMs: optional(row.t1_at),
    reclaimedAtMs: optional(row.reclaimed_at),
  };
}
