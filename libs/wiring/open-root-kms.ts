/** The KMS that the configuration names. */
import { createSystemRandomness } from '../base/random.ts';
import type { Configuration } from '../configuration/configuration.ts';
import { openRootKmsLocal } from '../vault/keys/local/root-kms-local.ts';
import type { RootKms } from '../vault/keys/root-kms.ts';

/** Opens it. Throws CONFIGURATION_INVALID. */
export async function openRootKms(
  { kms, kmsPassphrase: passphrase }: Configuration,
  randomness = createSystemRandomness(),
): Promise<RootKms> {
  if (kms.engine === 'local') {
    return openRootKmsLocal({ folder: kms.folder, randomness, ...(passphrase && { passphrase }) });
  }
  const { openRootKmsAws } = await import('../vault/keys/aws/root-kms-aws.ts');
  return openRootKmsAws(kms);
}
