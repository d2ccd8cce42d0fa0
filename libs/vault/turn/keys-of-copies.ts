/**
 * Keys of stores that were restored or copied from another one, and from those. What was erased in
 * that one after they were made lies in them still, and opens with their keys.
 */
import type { KeyId } from '../../base/ids.ts';
import type { RootKms } from '../keys/root-kms.ts';

/**
 * The keys of whatever was made of a store, and is not gone, as far as this KMS has them. `spared`:
 * a store that is not meant by it, nor what was made of that alone. What was made of a copy comes
 * before that copy: whoever ends them in this order, and is killed, finds what is left.
 */
export async function keysOfCopies(
  kms: Pick<RootKms, 'copiesOf' | 'keysOf'>,
  of: string,
  spared?: string,
): Promise<KeyId[]> {
  const stores = new Set([of]);
  // A set goes on to what is added while it is gone through.
  for (const store of stores) {
    for (const copy of await kms.copiesOf(store)) if (copy !== spared) stores.add(copy);
  }
  stores.delete(of);
  const keys: KeyId[] = [];
  for (const store of [...stores].toReversed()) keys.push(...(await kms.keysOf(store)));
  return keys;
}

/** The same, of the store that has this key. */
export async function keysOfOwnCopies(
  kms: Pick<RootKms, 'copiesOf' | 'keysOf' | 'storeOf'>,
  own: KeyId,
): Promise<KeyId[]> {
  // As the KMS says: what the vault says of its own id lies in clear.
  const store = await kms.storeOf(own);
  return store === undefined ? [] : keysOfCopies(kms, store);
}
