/** Rows that hold keys: new ones, and the root's, which the KMS wraps. */

import type { KeyId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { type Randomness, randomId } from '../../base/random.ts';
import { secretBytes, secretConcat } from '../../base/secret-bytes.ts';
import type { WrappingKey } from '../../keyring/wrapping-key.ts';
import type { LossFeed } from '../feed/feed-wait.ts';
import { STORE_ROOT } from '../rows/key-slots.ts';
import {
  type RowKey,
  rowKinds,
  rowStates,
  type VaultRow,
  type VaultStore,
} from '../rows/vault-store.ts';
import { rowAssociatedData, wrapRow } from '../rows/wrapped-row.ts';
import type { RootKms } from './root-kms.ts';

interface Deps {
  readonly store: VaultStore;
  readonly kms: RootKms;
  readonly randomness: Randomness;
  readonly lossFeed: Pick<LossFeed, 'head'>;
}

/** Makes the first root of a store. Throws VAULT_TAMPERED when there are apps already. */
export async function makeStoreRoot(deps: Deps): Promise<void> {
  const { store, kms, randomness, lossFeed } = deps;
  for await (const _ of store.scan(rowKinds.appRoot)) {
    throw new LetheError('VAULT_TAMPERED', 'the root of the vault is missing, its apps are not');
  }
  const kmsKey = await kms.createKey((await lossFeed.head()).incarnation);
  const row = await newStoreRootRow({ kms, randomness }, { kmsKey, version: 1 });
  await store.commit([{ puts: [row] }]);
  // Where another process was first its key counts, and this one was never used.
  const [root] = await store.read([STORE_ROOT]);
  const isLost = root?.version === 1 && root.wrappingKey !== kmsKey;
  if (isLost) await kms.destroyKey(kmsKey);
}

/** A row with a new store root, wrapped by a key of the KMS. */
export async function newStoreRootRow(
  { kms, randomness }: Pick<Deps, 'kms' | 'randomness'>,
  as: { kmsKey: KeyId; version: number },
): Promise<VaultRow> {
  const ownKey = randomId<KeyId>(randomness);
  const secret = randomness.fill(secretBytes(32));
  const plain = secretConcat([Buffer.from(ownKey, 'hex'), secret]);
  secret.fill(0);
  return wrapByKms(
    kms,
    { ...STORE_ROOT, version: as.version, wrappingKey: as.kmsKey, ownKey },
    plain,
  );
}

/** A row of the store's root under a key of the KMS; `plain` is zeroed. */
export async function wrapByKms(
  kms: RootKms,
  row: RowKey & { version: number; wrappingKey: KeyId; ownKey: KeyId },
  plain: Buffer,
): Promise<VaultRow> {
  const nothing = { holds: [], edges: [], erasure: null, fingerprint: null, owed: null };
  const clear = { ...row, ...nothing, state: rowStates.active };
  const context = rowAssociatedData(clear).toString('hex');
  const wrapped = await kms.wrap(row.wrappingKey, plain, context);
  plain.fill(0);
  return { ...clear, wrapped };
}

/** A row with a new random key: its id ‖ its 32 bytes, wrapped. `previous`: the row it replaces. */
export function newKeyRow(
  key: RowKey,
  parent: WrappingKey,
  randomness: Randomness,
  previous?: VaultRow,
): VaultRow {
  const ownKey = randomId<KeyId>(randomness);
  const secret = randomness.fill(secretBytes(32));
  const plain = secretConcat([Buffer.from(ownKey, 'hex'), secret]);
  const row = wrapRow({ key, ownKey, ...(previous && { previous }) }, plain, parent);
  secret.fill(0);
  plain.fill(0);
  return row;
}

/** Another row that holds a key which is there already. */
export function keyRowOf(
  key: RowKey,
  held: { readonly wrapping: WrappingKey; readonly bytes: Buffer },
  parent: WrappingKey,
  previous?: VaultRow,
): VaultRow {
  const ownKey = held.wrapping.id;
  const plain = secretConcat([Buffer.from(ownKey, 'hex'), held.bytes]);
  const row = wrapRow({ key, ownKey, ...(previous && { previous }) }, plain, parent);
  plain.fill(0);
  return row;
}
