/**
 * Copies what a backup holds into a folder: log, state, vault, in this order, beside live writers.
 * Engines that are embedded are copied by file; state and vault of others row by row into files of
 * the same form. The log in Kafka is kept by its own means (infra/runbooks/backup.md).
 */
import { join } from 'node:path';
import { copyLiveVault } from '../../libs/vault/copy/copy-live-vault.ts';
import { copyTurns } from '../../libs/vault/copy/copy-turns.ts';
import { openConnections } from '../../libs/wiring/connections.ts';
import type { OpenStore } from '../../libs/wiring/open-backends.ts';
import { openState, openVault } from '../../libs/wiring/open-engines.ts';
import { copyState } from './copy-state.ts';

/** Names of the files in a copy. */
export const LOG_COPY = 'lethe.db';
/** The file of the vault in a copy. */
export const VAULT_COPY = 'vault.db';

/**
 * Copies. The log first: the vault that is copied after it has every ring that its events need.
 * Throws CONTENDED, STORE_FULL, VAULT_UNREACHABLE, STATE_UNREACHABLE.
 */
export async function copyData(
  { backends, configuration }: OpenStore,
  folder: string,
): Promise<void> {
  const { log, state, vault } = configuration;
  const { engines } = backends;
  const { connections } = engines.use;
  const own = { wake: engines.use.wake, connections: openConnections() };
  const file = (name: string) => ({ engine: 'sqlite' as const, file: join(folder, name) });
  try {
    const stateCopy = file(LOG_COPY);
    if (state.engine === 'sqlite') {
      // In one file with the log, if that is embedded too.
      const code = log.engine === 'sqlite' ? 'LOG_UNREACHABLE' : 'STATE_UNREACHABLE';
      await connections.open('main', state.file, code).copyTo(stateCopy.file);
    } else {
      await copyState(engines.state, await openState({ state: stateCopy }, own));
    }
    const vaultCopy = file(VAULT_COPY);
    if (vault.engine === 'sqlite') {
      await connections.open('main', vault.file, 'VAULT_UNREACHABLE').copyTo(vaultCopy.file);
    } else {
      const to = await openVault({ vault: vaultCopy }, own);
      await copyLiveVault(engines.vault, to);
      await copyTurns(engines.vault.turns, to.turns);
    }
  } finally {
    own.connections.close();
  }
}
