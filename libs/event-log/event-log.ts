/**
 * Port: the log. At least once: a record may lie on it twice, and every consumer is idempotent by
 * event id. A stream (first 16 bytes of the key) lies in one partition, in the order of appends.
 * Offsets rise and may have gaps: records are removed when nobody can open them any more.
 *
 * Failures of every method: LOG_UNREACHABLE (retryable), STORE_FULL.
 */
import { LetheError } from '../base/lethe-error.ts';
import { decodeRecord, streamToPartition } from '../codec/event-record.ts';
import type { SealedEvent } from '../codec/sealed-event.ts';
import type { DeadLetters } from './dead-letters.ts';
import type { RecordCodes } from './record-codes.ts';

/** Key and value as `libs/codec` writes them. */
export interface LogRecord {
  readonly key: Buffer;
  readonly value: Buffer;
  /** The W3C `traceparent` it was recorded under; kept where the engine has a place beside it. */
  readonly trace?: string;
  /** Kept where others may append, too; undefined: it has none. */
  readonly code?: Buffer | undefined;
}

/** A place on the log; offsets count from 0 in each partition. */
export interface LogPosition {
  readonly partition: number;
  readonly offset: number;
}

/** A record with where it lies. */
export interface PlacedRecord extends LogRecord, LogPosition {}

/** Does this stand where a record was removed? Whoever reads the log passes over it. */
export function isTombstone(record: LogRecord): boolean {
  return record.value.length === 0;
}

/**
 * The event of a record. Throws FORMAT_UNKNOWN. Throws EVENT_TAMPERED where key and header differ;
 * for a copy that somebody has put into another partition than its stream's, where it has no place
 * among the stream's events; and for what this store has not written.
 */
export function decodePlaced(
  record: PlacedRecord,
  { partitions, codes }: Pick<EventLog, 'partitions' | 'codes'>,
): SealedEvent {
  const { partition, key, value } = record;
  const event = decodeRecord(key, value);
  if (streamToPartition(key, partitions) !== partition) {
    throw new LetheError('EVENT_TAMPERED', 'a record lies in another partition than its stream');
  }
  if (codes === undefined || codes.isOwn(record)) return event;
  throw new LetheError('EVENT_TAMPERED', 'a record that this store has not written');
}

export interface FollowOptions {
  /** Names the group; its members share the partitions and its checkpoints. */
  readonly group: string;
  /**
   * Handles records in partition order. Its checkpoint is written after it resolves; after a crash
   * the records since the last checkpoint come again.
   */
  handle(records: readonly PlacedRecord[]): Promise<void>;
  /** Called when everything that was there at the last look has been handled. */
  caughtUp?(): void;
  readonly signal: AbortSignal;
}

/** The log of sealed events. Failures: LOG_UNREACHABLE (retryable), STORE_FULL. */
export interface EventLog {
  /** Fixed when the log is made. */
  readonly partitions: number;
  /** Are removed records still read for a while, before tombstones of the same keys? */
  readonly removesLater: boolean;
  /** May others append, as on a broker? Then records carry codes (record-codes.ts). */
  readonly isOpenToOthers: boolean;
  /** What this store's records are known by; undefined: by nothing. */
  readonly codes?: RecordCodes | undefined;
  /** References to records that could not be projected. */
  readonly deadLetters: DeadLetters;
  /** Appends a batch, durably; the positions in its order. */
  append(records: readonly LogRecord[]): Promise<LogPosition[]>;
  /** Records of a partition from an offset on, at most `limit`. */
  read(partition: number, from: number, limit: number): Promise<PlacedRecord[]>;
  /**
   * Removes records for good. End offsets stay. An engine that removes at once keeps nothing of
   * their bytes when this resolves; where the last record of a partition was, a tombstone is read.
   * One that `removesLater` appends tombstones; until it compacts, the records are read too.
   */
  remove(positions: readonly LogPosition[]): Promise<void>;
  /** The next offset of each partition. */
  endOffsets(): Promise<number[]>;
  /** The next offset that a group will handle, of each partition; 0 where it never began. */
  checkpoints(group: string): Promise<number[]>;
  /** Moves a group's checkpoints forward, durably. */
  saveCheckpoints(group: string, next: readonly number[]): Promise<void>;
  /** Follows the log as a member of a group until the signal ends it. */
  follow(options: FollowOptions): Promise<void>;
  /** Does a live member follow as this group now? */
  isFollowed(group: string): Promise<boolean>;
  /** Removes a group's checkpoints. */
  dropGroup(group: string): Promise<void>;
  /** What of the engine's settings was changed, and loses or hides records: for self-checks. */
  unsafeSettings?(): Promise<readonly string[]>;
}
