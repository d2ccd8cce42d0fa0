/**
 * Port: what ingest commits. An item's delivery row decides whether its records are appended, so
 * that two processes that were given the same delivery append it once; an engine that holds log and
 * ledger together commits both at once, others one after the other.
 *
 * Failures: LOG_UNREACHABLE, STATE_UNREACHABLE (retryable), STORE_FULL; then nothing counts as
 * taken in: the same items can be committed once more.
 */
import type { AppId, IndexId } from '../base/ids.ts';
import type { DeliveryWrite } from '../deliveries/delivery-store.ts';
import type { LogPosition, LogRecord } from '../event-log/event-log.ts';
import type { PrivacyRequest, Signed } from '../requests/request.ts';

/** What one delivery or command writes: records, its entry in the ledger, a request. */
export interface JournalItem {
  /** Absent for what has no source of its own and so cannot be redelivered. */
  readonly delivery?: DeliveryWrite & { asGone(): DeliveryWrite };
  /** Rows of removals: where one of them is there, the records are not appended. */
  readonly removals?: readonly IndexId[];
  readonly records: readonly LogRecord[];
  readonly request?: Signed<PrivacyRequest>;
}

/**
 * Where an item's records lie. `taken`: another writer had that delivery first. `removed`: its
 * removal was there before. Nothing of it is on the log then, and its row says that it is gone.
 */
export type JournalOutcome = readonly LogPosition[] | 'taken' | 'removed';

/** Writes items so that none is half there. */
export interface IngestJournal {
  /**
   * Commits items in order; all that were not taken are durable on return. Removals are looked for
   * after the item's own row is written: one that comes later finds that row.
   */
  commit(app: AppId, items: readonly JournalItem[]): Promise<JournalOutcome[]>;
}
