/**
 * Port: where the delivery ledger's entries lie, wrapped. A row is named by an HMAC of what was
 * delivered and swept by the day it was written.
 *
 * Failures of every method: STATE_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, IndexId } from '../base/ids.ts';

/** A row as it is written. */
export interface DeliveryWrite {
  readonly id: IndexId;
  /** UTC day whose ledger key wraps the entry. */
  readonly day: number;
  /** 1 at the first write, raised by one at each later one. */
  readonly revision: number;
  readonly wrapped: Buffer;
}

/** A row as it is read. */
export interface DeliveryRow extends DeliveryWrite {
  /**
   * Are the events it stands for on the log? False: whoever wrote it may have died before, and the
   * delivery is taken in once more. Engines that commit both at once never say so.
   */
  readonly isSettled: boolean;
}

/** Rows of the ledger: wrapped entries by index id and day. */
export interface DeliveryStore {
  find(app: AppId, ids: readonly IndexId[]): Promise<(DeliveryRow | undefined)[]>;
  /** Revision 1 inserts if absent, N replaces N - 1; false where it did not. */
  put(app: AppId, rows: readonly DeliveryWrite[]): Promise<boolean[]>;
  /** The events of these rows are on the log. */
  settle(app: AppId, rows: readonly DeliveryWrite[]): Promise<void>;
  /** Up to `limit` rows of days before `day`. */
  olderThan(app: AppId, day: number, limit: number): Promise<DeliveryRow[]>;
  remove(app: AppId, ids: readonly IndexId[]): Promise<void>;
  /** All rows there are, for a copy to another engine. */
  all(): AsyncIterable<{ app: AppId; row: DeliveryRow }>;
  /** Writes rows as they are, settled or not; one that is there already stays. */
  load(app: AppId, rows: readonly DeliveryRow[]): Promise<void>;
}
