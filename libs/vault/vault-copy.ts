/**
 * Port: all that lies in a vault, to be copied from one engine to another as it is. What is wrapped
 * stays wrapped: a copy opens with the same KMS key and with no other.
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), STORE_FULL.
 */
import { chunks } from '../base/chunks.ts';
import type { AppId, SegmentId } from '../base/ids.ts';
import type { RowKey, VaultRow } from './vault-store.ts';

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
  /** All rows there are, of every kind, in no promised order. */
  rows(): AsyncIterable<VaultRow>;
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

const CHUNK = 500;

/**
 * Copies a vault, beside its writers or after them. Rows are copied once each; `change` gives what
 * is written in a row's place.
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
  let [rows, segments] = [0, 0];
  const copySegments = async () => {
    segments = 0;
    for await (const part of chunks(from.segments(), CHUNK)) {
      await to.loadSegments(part);
      segments += part.length;
      onProgress({ rows, segments });
    }
  };
  // A row names parts that were written before it; those of rows that changed come after.
  await copySegments();
  for await (const part of chunks(from.rows(), CHUNK)) {
    const written = part.filter((row) => !isLeftOut(row));
    await to.loadRows(await Promise.all(written.map(change)));
    rows += part.length;
    onProgress({ rows, segments });
  }
  await copySegments();
  await to.loadDirty(await from.dirty());
  return { rows, segments };
}
