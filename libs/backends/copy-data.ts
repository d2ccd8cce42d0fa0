/**
 * Copies what a backup holds into a folder: log, state, vault, in this order, beside live writers.
 * Engines that are embedded are copied by file; state and vault of others row by row into files of
 * the same form. The log in Kafka is kept by its own means (infra/runbooks/backup.md).
 */
import { join } from 'node:path';
import type { Configuration } from '../configuration/configuration.ts';
import { copyLiveVault } from '../vault/copy/copy-live-vault.ts';
import { openConnections } from './connections.ts';
import { copyState } from './copy-state.ts';
import { type EngineUse, openState, openVault } from './open-engines.ts';
import type { StateStores, VaultStores } from './opened-stores.ts';

/** Names of the files in a copy. */
export const LOG_COPY = 'lethe.db';
export const VAULT_COPY = 'vault.db';

/** The log first: the vault that is copied after it has every ring that its events need. */
export async function copyData(
  { log, state, vault }: Configuration,
  opened: { use: EngineUse; vault: Pick<VaultStores, 'copy' | 'store'>; state: StateStores },
  folder: string,
): Promise<void> {
  const { connections } = opened.use;
  const own = { wake: opened.use.wake, connections: openConnections() };
  const file = (name: string) => ({ engine: 'sqlite' as const, file: join(folder, name) });
  try {
    const stateCopy = file(LOG_COPY);
    if (state.engine === 'sqlite') {
      // In one file with the log, if that is embedded too.
      const code = log.engine === 'sqlite' ? 'LOG_UNREACHABLE' : 'STATE_UNREACHABLE';
      await connections.open('main', state.file, code).copyTo(stateCopy.file);
    } else {
      await copyState(opened.state, await openState({ state: stateCopy }, own));
    }
    const vaultCopy = file(VAULT_COPY);
    if (vault.engine === 'sqlite') {
      await connections.open('main', vault.file, 'VAULT_UNREACHABLE').copyTo(vaultCopy.file);
    } else {
      await copyLiveVault(opened.vault, await openVault({ vault: vaultCopy }, own));
    }
  } finally {
    own.connections.close();
  }
}
