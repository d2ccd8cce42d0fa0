/** The rows of a store's directory, as nobody outside the vault sees them. */
import { systemHolderClocks } from '../../libs/base/clock.ts';
import { createSystemRandomness } from '../../libs/base/random.ts';
import {
  createDirectoryTable,
  type DirectoryTable,
} from '../../libs/vault/directory/directory-table.ts';
import { createLossFeed } from '../../libs/vault/feed/feed-wait.ts';
import { openKeyLease } from '../../libs/vault/feed/key-lease.ts';
import { createAppRegistry } from '../../libs/vault/keys/app-registry.ts';
import { createKeyHierarchy } from '../../libs/vault/keys/key-hierarchy.ts';
import { createAppKeys } from '../../libs/vault/keys/vault-app-keys.ts';
import { openRootKms } from '../../libs/wiring/open-root-kms.ts';
import type { TestStore } from './temporary-store.ts';

/**
 * Opens them with the store's own KMS. The lease that this takes ends with `await using`: an erase
 * waits for it until then.
 */
export async function openDirectoryTable({
  backends,
  configuration,
}: TestStore): Promise<DirectoryTable & AsyncDisposable> {
  const { store, feed } = backends.engines.vault;
  const randomness = createSystemRandomness();
  const clocks = systemHolderClocks;
  const lease = openKeyLease({ feed, clocks, randomness, leaseMs: configuration.leaseMs });
  const lossFeed = createLossFeed({ feed, clocks });
  const kms = await openRootKms(configuration);
  const hierarchy = createKeyHierarchy({ store, kms, randomness, lease, lossFeed });
  const apps = createAppRegistry({ store, hierarchy, randomness });
  const keys = createAppKeys({ store, hierarchy, lease, lossFeed, randomness });
  const table = createDirectoryTable({ store, hierarchy, apps, keys });
  return { ...table, [Symbol.asyncDispose]: () => lease.close() };
}
