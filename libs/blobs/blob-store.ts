/**
 * Port: sealed bytes too large for the log (attachments), by random ids. A blob is written once,
 * whole or not at all, and is never changed.
 *
 * Failures of every method: BLOBS_UNREACHABLE (retryable), STORE_FULL.
 */

/** Where a blob lies: two random ids, in hex. */
export interface BlobKey {
  readonly app: string;
  readonly blob: string;
}

/** A part of a blob: bytes from `start` to before `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface BlobStore {
  /**
   * Writes the chunks as one blob, durably. A blob that is there stays as it is. When the chunks
   * fail, nothing is there, and their error is thrown.
   */
  put(key: BlobKey, chunks: AsyncIterable<Buffer>): Promise<void>;
  /** The bytes, in chunks of no promised size; undefined: it is not there. */
  get(key: BlobKey, range?: ByteRange): Promise<AsyncIterable<Buffer> | undefined>;
  /** Its length in bytes; undefined: it is not there. */
  size(key: BlobKey): Promise<number | undefined>;
  /** Removes blobs; those that are not there count as removed. */
  remove(keys: readonly BlobKey[]): Promise<void>;
  /** The ids of an app's blobs, in no promised order. */
  list(app: string): AsyncIterable<string>;
}
