/** Where keys of the hierarchy lie: each in a row, and its predecessor beside it during a turn. */
import { type AppId, NO_ID } from '../../base/ids.ts';
import { BUCKETED_KINDS, type RowKey, type RowKind, rowKinds } from './vault-store.ts';

const STORE = NO_ID as AppId;

/** The row of the store's root. */
export const STORE_ROOT: RowKey = { app: STORE, bucket: 0, kind: rowKinds.storeRoot, id: NO_ID };

/** Kinds of predecessors, leaves first: a turn retires them in this order. */
export const PREVIOUS_KINDS: readonly RowKind[] = [
  rowKinds.bucketKeyPrevious,
  rowKinds.appRootPrevious,
  rowKinds.storeRootPrevious,
];

/** Kinds that a turn wraps anew under an app's root; a predecessor of theirs stays as it is. */
export const APP_KINDS: readonly RowKind[] = [
  rowKinds.indexKey,
  rowKinds.accessKey,
  rowKinds.ledgerKey,
  rowKinds.appRecord,
  rowKinds.bucketKey,
];

/** Kinds that lie under the store's root itself, beside the roots of apps. */
export const STORE_KINDS: readonly RowKind[] = [rowKinds.accessKey, rowKinds.listHead];

/** A place for one key of the hierarchy. */
export interface KeySlot {
  readonly current: RowKey;
  readonly previous: RowKey;
}

/** The row of a bucket's key. */
export function bucketKeyRow(app: AppId, bucket: number): RowKey {
  const id = bucket.toString(16).padStart(32, '0');
  return { app, bucket, kind: rowKinds.bucketKey, id };
}

/**
 * The bucket that a row lies in, as its kind and id alone say it, which its wrap covers; undefined:
 * it takes the app's number of buckets to know.
 */
export function bucketOf({ kind, id }: Pick<RowKey, 'kind' | 'id'>): number | undefined {
  if (BUCKETED_KINDS.includes(kind)) return undefined;
  const isBucketKey = kind === rowKinds.bucketKey || kind === rowKinds.bucketKeyPrevious;
  return isBucketKey ? Number.parseInt(id, 16) : 0;
}

/** The id of a row that is known by a small number: 32 digits. */
export function numberedId(number: number): string {
  return String(number).padStart(32, '0');
}

/** A row of the store itself, under its root. */
export function storeRow(kind: RowKind, id: string): RowKey {
  return { app: STORE, bucket: 0, kind, id };
}

/** The row of an app's root. */
export function appRootRow(app: AppId): RowKey {
  return { app, bucket: 0, kind: rowKinds.appRoot, id: app };
}

/** The row of an app's record. */
export function appRecordRow(app: AppId): RowKey {
  return { app, bucket: 0, kind: rowKinds.appRecord, id: app };
}

/** Where the store's root lies. */
export function storeSlot(): KeySlot {
  return { current: STORE_ROOT, previous: { ...STORE_ROOT, kind: rowKinds.storeRootPrevious } };
}

/** Where an app's root lies. */
export function appSlot(app: AppId): KeySlot {
  const current = appRootRow(app);
  return { current, previous: { ...current, kind: rowKinds.appRootPrevious } };
}

/** Where a bucket's key lies. */
export function bucketSlot(app: AppId, bucket: number): KeySlot {
  const current = bucketKeyRow(app, bucket);
  return { current, previous: { ...current, kind: rowKinds.bucketKeyPrevious } };
}

/** Where the key lies that a row is wrapped under. */
export function parentSlot(row: RowKey): KeySlot {
  if (BUCKETED_KINDS.includes(row.kind)) return bucketSlot(row.app, row.bucket);
  const isRoot = row.kind === rowKinds.appRoot || row.kind === rowKinds.appRootPrevious;
  return isRoot || row.app === STORE ? storeSlot() : appSlot(row.app);
}
