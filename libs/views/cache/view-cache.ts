/**
 * Port: hot pages of the views, sealed as they lie there. A page is found again only under the
 * version of its conversation that it was read at. So it never hides what is written later.
 *
 * No promise rests on a cache. Failures of every method: none; what cannot be reached, is slow or
 * full is a miss, and counted.
 */

/** Where a page belongs. Ids are random, as everywhere outside the directory. */
export interface PageKey {
  readonly app: string;
  readonly conversation: string;
  /** What `ViewReader.version` told before the page was read. */
  readonly version: string;
  /** Which page of that version. */
  readonly page: string;
}

/** Since this process opened it. */
export interface CacheCounts {
  readonly hits: number;
  readonly misses: number;
  readonly failures: number;
}

/** Sealed pages that were read lately. Nothing that is promised rests on it. */
export interface ViewCache {
  get(key: PageKey): Promise<Buffer | undefined>;
  /** Keeps a page for a while, in place of another version of it; may also not keep it. */
  put(key: PageKey, page: Buffer): Promise<void>;
  /** Drops all pages of conversations, or of a whole app, as far as the cache can be reached. */
  drop(app: string, conversations: readonly string[] | 'all'): Promise<void>;
  /** Larger pages are not kept; 0: none is. */
  readonly pageBytesMax: number;
  readonly counts: CacheCounts;
  close(): Promise<void>;
}

export const PAGE_BYTES_MAX = 512 * 1024;
/** How long a page is kept at most: reclaimed events have left every cache after that. */
export const PAGE_TTL_MS = 600_000;
