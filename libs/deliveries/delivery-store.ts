/**
 * Port: where the delivery ledger's entries lie, wrapped. A row is named by an HMAC of what was
 * delivered and swept by the day it was written.
 *
 * Failures of every method: STATE_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, IndexId } from '../base/ids.ts';

export interface DeliveryRow {
  readonly id: IndexId;
  /** UTC day whose ledger key wraps the entry. */
  readonly day: number;
  /** 1 at the first write, raised by one at each later one. */
  readonly revision: number;
  readonly wrapped: Buffer;
}

export interface DeliveryStore {
  find(app: AppId, ids: readonly IndexId[]): Promise<(DeliveryRow | undefined)[]>;
  /** Revision 1 inserts if absent, N replaces N - 1; false where it did not. */
  put(app: AppId, rows: readonly DeliveryRow[]): Promise<boolean[]>;
  /** Up to `limit` rows of days before `day`. */
  olderThan(app: AppId, day: number, limit: number): Promise<DeliveryRow[]>;
  remove(app: AppId, ids: readonly IndexId[]): Promise<void>;
}
