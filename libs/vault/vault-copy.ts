/**
 * Port: all that lies in a vault, to be copied from one engine to another as it is. What is wrapped
 * stays wrapped: a copy opens with the same KMS key and with no other.
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), STORE_FULL.
 */
import { chunks } from '../base/chunks.ts';
import type { AppId, SegmentId } from '../base/ids.ts';
import {
  type RowKey,
  type RowKind,
  rowKinds,
  type VaultRow,
  type VaultStore,
} from './vault-store.ts';

/** A part of a large ring. */
export interface StoredSegment {
  readonly app: AppId;
  readonly id: SegmentId;
  readonly wrapped: Buffer;
}

/** A bucket that lost something since the last turn. */
export interface DirtyBucket {
  readonly app: AppId;
  readonly bucket: number;
}

export interface VaultCopy {
  /** All rows of these kinds, in no promised order. */
  rows(kinds: readonly RowKind[]): AsyncIterable<VaultRow>;
  segments(): AsyncIterable<StoredSegment>;
  dirty(): Promise<DirtyBucket[]>;
  /** Writes rows as they are; one that is there stays unless its version is older. */
  loadRows(rows: readonly VaultRow[]): Promise<void>;
  /** Removes these rows, whatever their versions. */
  dropRows(keys: readonly RowKey[]): Promise<void>;
  loadSegments(segments: readonly StoredSegment[]): Promise<void>;
  /** Marks buckets for the next turn; their keys were loaded before. */
  loadDirty(buckets: readonly DirtyBucket[]): Promise<void>;
}

/** What was copied. */
export interface CopiedVault {
  readonly rows: number;
  readonly segments: number;
}

export const ROWS_PER_COPY = 500;

/** Kinds whose rows have keys of segments in them. */
export const RING_KINDS: readonly RowKind[] = [
  rowKinds.appRing,
  rowKinds.ownerRing,
  rowKinds.placeRing,
];

const NAMES: readonly RowKind[] = [
  rowKinds.appRecord,
  rowKinds.identity,
  rowKinds.alias,
  rowKinds.externalConversation,
];
const ENTRIES: readonly RowKind[] = [rowKinds.subject, rowKinds.conversation, rowKinds.member];
const COPIED_LAST = Object.values(rowKinds).filter(
  (kind) => ![...NAMES, ...ENTRIES, ...RING_KINDS].includes(kind),
);

// What a row leads to was durable before it. Beside writers it is copied after it, so that nothing
// in the copy leads to what came there too late for it.
const COPY_ORDER = [NAMES, ...ENTRIES.map((kind) => [kind]), RING_KINDS, COPIED_LAST];

/** All kinds of row. */
export const ALL_KINDS: readonly RowKind[] = COPY_ORDER.flat();

/** Both ways into a vault: its rows by their keys, and all of them. */
export interface CopiedEnd {
  readonly store: VaultStore;
  readonly copy: VaultCopy;
}

/** Copies all segments; how many. Those that are there stay. */
export async function copySegments(
  from: VaultCopy,
  to: VaultCopy,
  onProgress: (segments: number) => void = () => undefined,
): Promise<number> {
  let segments = 0;
  for await (const part of chunks(from.segments(), ROWS_PER_COPY)) {
    await to.loadSegments(part);
    segments += part.length;
    onProgress(segments);
  }
  return segments;
}

/**
 * Copies a vault that nobody writes to, or the greater part of one that is written to meanwhile
 * (`copyLiveVault`). `change` gives what is written in a row's place.
 */
export async function copyVault(
  from: VaultCopy,
  to: VaultCopy,
  {
    onProgress = () => undefined,
    change = async (row) => row,
    isLeftOut = () => false,
  }: {
    onProgress?: (copied: CopiedVault) => void;
    change?: (row: VaultRow) => Promise<VaultRow>;
    /** Rows that are not written. */
    isLeftOut?: (row: VaultRow) => boolean;
  } = {},
): Promise<CopiedVault> {
  let rows = 0;
  // A row names parts that were written before it; those of rows that changed come after.
  let segments = await copySegments(from, to, (done) => onProgress({ rows, segments: done }));
  for (const kinds of COPY_ORDER) {
    for await (const part of chunks(from.rows(kinds), ROWS_PER_COPY)) {
      const written = part.filter((row) => !isLeftOut(row));
      await to.loadRows(await Promise.all(written.map(change)));
      rows += part.length;
      onProgress({ rows, segments });
    }
  }
  segments = await copySegments(from, to);
  await to.loadDirty(await from.dirty());
  return { rows, segments };
}
