/** The KMS that the configuration names. */
import { createSystemRandomness } from '../base/random.ts';
import type { RootKms } from '../vault/root-kms.ts';
import { openRootKmsLocal } from '../vault/root-kms-local.ts';
import type { Configuration } from './configuration.ts';

/** Opens it. Throws CONFIGURATION_INVALID. */
export function openRootKms(
  { kmsFolder: folder, kmsPassphrase: passphrase }: Configuration,
  randomness = createSystemRandomness(),
): RootKms {
  return openRootKmsLocal({ folder, randomness, ...(passphrase && { passphrase }) });
}
