/** The rows of a store's directory, as nobody outside the vault sees them. */
import {
  createDirectoryTable,
  type DirectoryTable,
} from '../../libs/vault/directory/directory-table.ts';
import { createAppRegistry } from '../../libs/vault/keys/app-registry.ts';
import { createAppKeys } from '../../libs/vault/keys/vault-app-keys.ts';
import type { TestStore } from './temporary-store.ts';
import { openVaultParts } from './vault-parts.ts';

/**
 * Opens them with the store's own KMS. The lease that this takes ends with `await using`: an erase
 * waits for it until then.
 */
export async function openDirectoryTable(of: TestStore): Promise<DirectoryTable & AsyncDisposable> {
  const { store, hierarchy, lease, lossFeed, randomness } = await openVaultParts(of);
  const apps = createAppRegistry({ store, hierarchy, randomness });
  const keys = createAppKeys({ store, hierarchy, lease, lossFeed, randomness });
  const table = createDirectoryTable({ store, hierarchy, apps, keys });
  return { ...table, [Symbol.asyncDispose]: () => lease.close() };
}
