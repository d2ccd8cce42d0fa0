/** Building blocks of directory writes: rows of a bucket, names, changes of subjects. */

import { type IndexId, idToBucket, type SubjectId } from '../../base/ids.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { Ring } from '../../keyring/ring.ts';
import type { RingKind } from '../../sealing/tree-path.ts';
import type { App } from '../keys/app-registry.ts';
import { newRing, ringRow } from '../rings/vault-rings.ts';
import { bucketKeyRow } from '../rows/key-slots.ts';
import { rowKinds, type VaultBatch, type VaultRow } from '../rows/vault-store.ts';
import { wrapRow } from '../rows/wrapped-row.ts';
import type { SubjectValue } from './directory.ts';
import {
  type DirectoryContext,
  directoryRow,
  type ReferenceKind,
  referenceCodec,
  subjectCodec,
} from './directory-table.ts';

/** Builds rows of one bucket under its current key, with the guard that it is still current. */
export async function openBucket(deps: DirectoryContext, app: App, bucket: number) {
  const wrapping = (await deps.hierarchy.bucketKeys(app.id, [bucket])).get(bucket)!;
  const guard = { key: bucketKeyRow(app.id, bucket), ownKey: wrapping.id };
  return {
    guard,
    ring(kind: RingKind, id: string): { row: VaultRow; ring: Ring } {
      const key = ringRow({ app: app.id, kind, id }, app.buckets);
      return newRing(key, { kind, wrapping, randomness: deps.randomness });
    },
    row(kind: VaultRow['kind'], id: string, plain: Buffer, previous?: VaultRow): VaultRow {
      const key = directoryRow(app, kind, id);
      return wrapRow({ key, ...(previous && { previous }) }, plain, wrapping);
    },
  };
}

/** Gives a name by insert-if-absent; a name that is taken is a conflict. */
export async function namingBatch(
  deps: DirectoryContext,
  app: App,
  name: { kind: ReferenceKind; row: IndexId; target: string },
): Promise<VaultBatch> {
  const bucket = await openBucket(deps, app, idToBucket(name.row) % app.buckets);
  const plain = referenceCodec.encodeTagged({ target: name.target });
  return { guard: bucket.guard, puts: [bucket.row(name.kind, name.row, plain)] };
}

/** Keeps the rings of what was written, destroys those of what was not. */
export function settleRings(
  { keyring }: DirectoryContext,
  rings: readonly Ring[],
  as: { isWritten: boolean; losses: number },
): void {
  if (as.isWritten) keyring.keep(rings, as.losses);
  else for (const ring of rings) ring.destroy();
}

export function removalOf(batch: VaultBatch): VaultBatch {
  return { removals: batch.puts ?? [] };
}

export type SubjectChange = (value: SubjectValue) => SubjectValue;

/**
 * Changes subjects' entries, each by compare-and-set; people who are gone are skipped, and a change
 * that gives back the value it was given writes nothing. Throws CONTENDED.
 */
export async function changeSubjects(
  deps: DirectoryContext,
  app: App,
  changes: ReadonlyMap<SubjectId, SubjectChange>,
): Promise<void> {
  let left = [...changes.keys()];
  return retryContended(async () => {
    const entries = await deps.table.subjects(app.id, left);
    const changed = entries.flatMap((entry) => {
      if (entry === undefined) return [];
      const value = changes.get(entry.id)!(entry.value);
      return value === entry.value ? [] : [{ entry, value }];
    });
    if (changed.length === 0) return;
    const batches: VaultBatch[] = [];
    for (const { entry, value } of changed) {
      const bucket = await openBucket(deps, app, entry.row.bucket);
      const row = bucket.row(
        rowKinds.subject,
        entry.id,
        subjectCodec.encodeTagged(value),
        entry.row,
      );
      batches.push({ guard: bucket.guard, puts: [row] });
    }
    const outcomes = await deps.store.commit(batches);
    const refused = changed.filter((_, i) => outcomes[i] === 'conflict');
    for (const { entry } of refused) deps.hierarchy.forgetBucketKey(app.id, entry.row.bucket);
    left = refused.map(({ entry }) => entry.id);
    if (left.length === 0) return;
    return again;
  });
}
