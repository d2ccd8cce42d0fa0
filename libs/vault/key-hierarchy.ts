/**
 * The path from the root KMS down to bucket keys:
 *
 *   KMS key ─> store root ─> app roots ─> bucket keys (and the app's index, access, ledger keys)
 *
 * Keys are made at first use by insert-if-absent, so that two processes end with one; concurrent
 * first uses share one load, and the KMS is called once a process.
 */
import { type AppId, type KeyId, NO_ID } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import { type Randomness, randomId } from '../base/random.ts';
import { createSingleFlight } from '../base/single-flight.ts';
import { WrappingKey } from '../keyring/wrapping-key.ts';
import type { KeyLease } from './key-lease.ts';
import type { RootKms } from './root-kms.ts';
import {
  type RowKey,
  type RowKind,
  rowKeyToText,
  rowKinds,
  rowStates,
  type VaultRow,
  type VaultStore,
} from './vault-store.ts';
import { openRow, rowAssociatedData, wrapRow } from './wrapped-row.ts';

const STORE = NO_ID as AppId;
/** The row of the store's root. */
export const STORE_ROOT: RowKey = { app: STORE, bucket: 0, kind: rowKinds.storeRoot, id: NO_ID };

/** The keys above rings and directory rows. */
export interface KeyHierarchy {
  /** Opens the store root: made at the first start. Throws ROOT_KMS_DENIED, VAULT_TAMPERED. */
  storeRoot(): Promise<WrappingKey>;
  /** Undefined: no such app, or it was erased. */
  appRoot(app: AppId): Promise<WrappingKey | undefined>;
  /** The current keys of an app's buckets; missing ones are made. */
  bucketKeys(app: AppId, buckets: readonly number[]): Promise<Map<number, WrappingKey>>;
  /** Drops a cached bucket key after a conflict, so that the next call reads it again. */
  forgetBucketKey(app: AppId, bucket: number): void;
  /** Zeroes and drops all keys of an app that was erased. */
  forgetApp(app: AppId): void;
  /** A key under the app root (or, for the app id NO_ID, the store root); made at first use. */
  subKey(app: AppId, kind: RowKind, id: string): Promise<SubKey>;
}

/** A key of the hierarchy, with its bytes for those that are not wrapping keys. */
export interface SubKey {
  readonly wrapping: WrappingKey;
  readonly bytes: Buffer;
}

/** The row of a bucket's key. */
export function bucketKeyRow(app: AppId, bucket: number): RowKey {
  const id = bucket.toString(16).padStart(32, '0');
  return { app, bucket, kind: rowKinds.bucketKey, id };
}

/** The row of an app's root. */
export function appRootRow(app: AppId): RowKey {
  return { app, bucket: 0, kind: rowKinds.appRoot, id: app };
}

/** Opens the hierarchy over a store and a KMS. */
export function createKeyHierarchy(deps: {
  store: VaultStore;
  kms: RootKms;
  randomness: Randomness;
  lease: Pick<KeyLease, 'ensure'>;
}): KeyHierarchy {
  const { store, lease } = deps;
  const cache = new Map<string, SubKey>();
  const flyStoreRoot = createSingleFlight(() => openStoreRoot(deps));
  let storeRootKey: WrappingKey | undefined;

  async function storeRoot(): Promise<WrappingKey> {
    storeRootKey ??= await flyStoreRoot('root');
    return storeRootKey;
  }

  const flySubKey = createSingleFlight(async (text) => {
    const [app, kind, id] = text.split(' ') as [AppId, string, string];
    const parent = await parentOf(app);
    if (parent === undefined) throw new LetheError('INVARIANT_BROKEN', 'no such app');
    const key = { app, bucket: 0, kind: Number(kind) as RowKind, id };
    const [opened] = await openKeys(deps, [key], parent);
    cache.set(rowKeyToText(key), opened!);
    return opened!;
  });

  async function parentOf(app: AppId) {
    if (app === STORE) return { key: await storeRoot(), row: STORE_ROOT };
    const key = await appRoot(app);
    return key && { key, row: appRootRow(app) };
  }

  async function appRoot(app: AppId): Promise<WrappingKey | undefined> {
    await lease.ensure();
    const key = appRootRow(app);
    const known = cache.get(rowKeyToText(key));
    if (known !== undefined) return known.wrapping;
    const [row] = await store.read([key]);
    if (row === undefined) return undefined;
    const opened = openKey(deps, row, await storeRoot());
    if (opened === 'erased') return undefined;
    cache.set(rowKeyToText(key), opened);
    return opened.wrapping;
  }

  return {
    storeRoot,
    appRoot,
    async bucketKeys(app, buckets) {
      await lease.ensure();
      const found = new Map<number, WrappingKey>();
      const missing: number[] = [];
      for (const bucket of new Set(buckets)) {
        const known = cache.get(rowKeyToText(bucketKeyRow(app, bucket)));
        if (known === undefined) missing.push(bucket);
        else found.set(bucket, known.wrapping);
      }
      if (missing.length === 0) return found;
      const parent = await parentOf(app);
      if (parent === undefined) throw new LetheError('INVARIANT_BROKEN', 'no such app');
      const keys = missing.map((bucket) => bucketKeyRow(app, bucket));
      const opened = await openKeys(deps, keys, parent);
      for (const [i, sub] of opened.entries()) {
        cache.set(rowKeyToText(keys[i]!), sub);
        found.set(missing[i]!, sub.wrapping);
      }
      return found;
    },
    forgetBucketKey(app, bucket) {
      cache.delete(rowKeyToText(bucketKeyRow(app, bucket)));
    },
    forgetApp: (app) => forgetKeysOf(cache, app),
    async subKey(app, kind, id) {
      await lease.ensure();
      const key = { app, bucket: 0, kind, id };
      return cache.get(rowKeyToText(key)) ?? flySubKey(`${app} ${kind} ${id}`);
    },
  };
}

function forgetKeysOf(cache: Map<string, SubKey>, app: AppId): void {
  for (const [text, { bytes }] of cache) {
    if (!text.startsWith(app)) continue;
    bytes.fill(0);
    cache.delete(text);
  }
}

interface Deps {
  readonly store: VaultStore;
  readonly randomness: Randomness;
}

function openKey({ randomness }: Deps, row: VaultRow, parent: WrappingKey): SubKey | 'erased' {
  const plain = openRow(row, parent);
  if (plain === 'erased') return 'erased';
  if (plain.toString('hex', 0, 16) !== row.ownKey) {
    throw new LetheError('VAULT_TAMPERED', 'a key row of the vault names another key');
  }
  const bytes = Buffer.from(plain.subarray(16));
  plain.fill(0);
  return { bytes, wrapping: new WrappingKey(row.ownKey as KeyId, bytes, randomness) };
}

/** Reads or makes the key rows under one parent. */
async function openKeys(
  deps: Deps,
  keys: readonly RowKey[],
  parent: { key: WrappingKey; row: RowKey },
): Promise<SubKey[]> {
  const { store, randomness } = deps;
  for (let attempt = 0; attempt < 8; attempt += 1) {
    const rows = await store.read(keys);
    const missing = keys.filter((_, i) => rows[i] === undefined);
    if (missing.length === 0) {
      const opened = rows.map((row) => openKey(deps, row!, parent.key));
      return opened.filter((key) => key !== 'erased');
    }
    const guard = { key: parent.row, ownKey: parent.key.id };
    const puts = missing.map((key) => newKeyRow(key, parent.key, randomness));
    await store.commit(puts.map((row) => ({ guard, puts: [row] })));
  }
  throw contended();
}

/** The first row of a new random key: its id ‖ its 32 bytes, wrapped. */
export function newKeyRow(key: RowKey, parent: WrappingKey, randomness: Randomness): VaultRow {
  const ownKey = randomId<KeyId>(randomness);
  const secret = randomness.fill(Buffer.alloc(32));
  const plain = Buffer.concat([Buffer.from(ownKey, 'hex'), secret]);
  const row = wrapRow({ key, ownKey }, plain, parent);
  secret.fill(0);
  plain.fill(0);
  return row;
}

/** Writers that lose eight races in a row give up, so that a defect cannot spin for ever. */
export function contended(): LetheError {
  return new LetheError('CONTENDED', 'the vault is too busy: try again', { retryable: true });
}

async function openStoreRoot(deps: {
  store: VaultStore;
  kms: RootKms;
  randomness: Randomness;
}): Promise<WrappingKey> {
  const { store, kms, randomness } = deps;
  let [row] = await store.read([STORE_ROOT]);
  if (row === undefined) {
    for await (const _ of store.scan(rowKinds.appRoot)) {
      throw new LetheError('VAULT_TAMPERED', 'the root of the vault is missing, its apps are not');
    }
    const kmsKey = await kms.createKey();
    const ownKey = randomId<KeyId>(randomness);
    const secret = randomness.fill(Buffer.alloc(32));
    const clear = {
      ...STORE_ROOT,
      version: 1,
      state: rowStates.active,
      wrappingKey: kmsKey,
      ownKey,
      holds: [],
      edges: [],
      erasure: null,
      fingerprint: null,
    };
    const context = rowAssociatedData(clear).toString('hex');
    const plain = Buffer.concat([Buffer.from(ownKey, 'hex'), secret]);
    const wrapped = await kms.wrap(kmsKey, plain, context);
    await store.commit([{ puts: [{ ...clear, wrapped }] }]);
    [row] = await store.read([STORE_ROOT]);
  }
  if (row?.wrapped == null || row.ownKey === null) throw contended();
  const context = rowAssociatedData(row).toString('hex');
  const plain = await kms.unwrap(row.wrappingKey, row.wrapped, context);
  return new WrappingKey(row.ownKey, Buffer.from(plain.subarray(16)), randomness);
}
