/**
 * A KMS tells no key that is gone from one that it never had. Credentials change while a process
 * runs, and another account or region has none of this store's keys. So what it says of missing
 * keys counts only while it has the key at the root.
 */
import type { KeyId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import type { RootKms } from '../keys/root-kms.ts';

/** Throws ROOT_KMS_DENIED: the KMS that answers now does not have this key of the store. */
export async function assertRightKms(kms: Pick<RootKms, 'describeKey'>, key: KeyId): Promise<void> {
  const state = await kms.describeKey(key);
  if (state !== 'gone' && state !== 'unknown') return;
  const text =
    `the KMS that answers does not have the key at the root, ${key}: is it another account, ` +
    'region or folder? Nothing that it says of other keys counts, and none was ended';
  throw new LetheError('ROOT_KMS_DENIED', text);
}
