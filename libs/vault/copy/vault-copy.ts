/**
 * Port: all that lies in a vault, to be copied from one engine to another as it is. What is wrapped
 * stays wrapped: a copy opens with the same KMS key and with no other.
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), STORE_FULL.
 */
import { chunks } from '../../base/chunks.ts';
import type { AppId, SegmentId } from '../../base/ids.ts';
import type { RowKey, VaultRow, VaultStore } from '../rows/vault-store.ts';

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

/** Rows that are written together, if they are: some of a vault, or all of them. */
export interface VaultPart {
  holds(row: RowKey): boolean;
  /** As they are now, in no promised order, at each call. */
  rows(): AsyncIterable<VaultRow>;
}

/** A vault's rows, segments and marks, read and written as they are. */
export interface VaultCopy {
  /** All rows there are, of every kind, in no promised order. */
  rows(): AsyncIterable<VaultRow>;
  /** The same rows; what one commit writes lies in one part. */
  parts(): AsyncIterable<VaultPart>;
  segments(): AsyncIterable<StoredSegment>;
  segmentNames(): AsyncIterable<Pick<StoredSegment, 'app' | 'id'>>;
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

/** Both ways into a vault: its rows by their keys, and all of them. */
export interface CopiedEnd {
  readonly store: VaultStore;
  readonly copy: VaultCopy;
}

const CHUNK = 500;

/**
 * Copies a vault that nobody writes to (`copyLiveVault`: beside its writers). Rows are copied once
 * each; `change` gives what is written in a row's place.
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
  const segments = await copySegments(from, to, (done) => onProgress({ rows: 0, segments: done }));
  let rows = 0;
  for await (const part of chunks(from.rows(), CHUNK)) {
    const written = part.filter((row) => !isLeftOut(row));
    await to.loadRows(await Promise.all(written.map(change)));
    rows += part.length;
    onProgress({ rows, segments });
  }
  await to.loadDirty(await from.dirty());
  return { rows, segments };
}

/** Copies all parts of large rings; those that are there stay. */
export async function copySegments(
  from: VaultCopy,
  to: VaultCopy,
  onProgress: (segments: number) => void = () => undefined,
): Promise<number> {
  let segments = 0;
  for await (const some of chunks(from.segments(), CHUNK)) {
    await to.loadSegments(some);
    segments += some.length;
    onProgress(segments);
  }
  return segments;
}
