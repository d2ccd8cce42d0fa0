/** Where a store is, and where one may be made: before anything is opened, which would make it. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LetheError } from '../base/lethe-error.ts';
import { type Configuration, embeddedFiles } from '../configuration/configuration.ts';
import type { EventLog } from '../event-log/event-log.ts';
import { hasStoreRoot } from '../vault/copy/fill-vault.ts';
import { rowKinds, rowStates, type VaultStore } from '../vault/rows/vault-store.ts';
import { saysClosed } from '../vault/turn/turn-store.ts';
import type { TurnTable } from '../vault/turn/turn-table.ts';
import { openErasures } from './open-engines.ts';
import type { StateStores } from './opened-stores.ts';

/**
 * Where a list of erasures is and no vault, the store was lost, or its disk is not there: a new one
 * would take in again whoever was erased. Throws CONFIGURATION_INVALID.
 */
export async function assertNoErasures(configuration: Configuration): Promise<void> {
  const { vault, erasuresFolder } = configuration;
  const count = await openErasures(configuration).newest();
  if (count === 0) return;
  const where = vault.engine === 'sqlite' ? vault.file : vault.keyspace;
  throw new LetheError(
    'CONFIGURATION_INVALID',
    `there is no vault at ${where}, but ${erasuresFolder} has ${count} entries of one: ` +
      'mount its disk, or restore a backup. To make another store, name another LETHE_ERASURES',
  );
}

/**
 * Has this vault been begun? A first start that was killed half-way leaves a root, but neither a
 * record of turns nor an app. Throws CONFIGURATION_INVALID: nor may it be made here.
 */
export async function hasBegun(
  { store, turns }: { readonly store: VaultStore; readonly turns: TurnTable },
  configuration: Configuration,
): Promise<boolean> {
  if (!(await hasStoreRoot(store))) {
    await assertNoErasures(configuration);
    return false;
  }
  if ((await turns.read()) !== undefined) return true;
  for await (const _ of store.scan(rowKinds.appRoot)) return true;
  return false;
}

/** Throws CONFIGURATION_INVALID for a vault in a file that may not be made, before it is. */
export async function assertMayBeMade(configuration: Configuration): Promise<void> {
  const { vault } = configuration;
  if (vault.engine === 'sqlite' && !existsSync(vault.file)) await assertNoErasures(configuration);
}

/**
 * An empty state beside a vault with apps: it was lost, and often the log with it. A turn would end
 * the key of every backup that still has them. Throws CONFIGURATION_INVALID.
 */
export async function assertStateOfVault(
  store: VaultStore,
  { clockMark }: Pick<StateStores, 'clockMark'>,
): Promise<void> {
  if ((await clockMark.read()) > 0) return;
  for await (const { state } of store.scan(rowKinds.appRoot)) {
    if (state === rowStates.erased) continue;
    throw new LetheError(
      'CONFIGURATION_INVALID',
      'LETHE_STATE: it is empty, but LETHE_VAULT has apps: their state was lost, and the log ' +
        'with it if that lay there. Mount its disk, or move the vault away and restore a backup',
    );
  }
}

/** What was copied to other engines is not opened beside it. Throws CONFIGURATION_INVALID. */
export async function assertNotClosed(turns: TurnTable): Promise<void> {
  if (!saysClosed(await turns.read())) return;
  throw new LetheError(
    'CONFIGURATION_INVALID',
    'LETHE_VAULT: this store is closed. Either it was copied to other engines: set the ' +
      'variables of the copy, or, if that was given up, lethe copy --from-env FILE --reopen ' +
      'opens it again. Or it is a copy that has not ended, and lacks what happened since: run ' +
      'that lethe copy again',
  );
}

/**
 * A new vault beside an old log is a mistake: no event of it could ever be opened again. Throws
 * CONFIGURATION_INVALID.
 */
export async function assertVaultOfLog(store: VaultStore, log: EventLog): Promise<void> {
  if ((await hasStoreRoot(store)) || (await log.endOffsets()).every((end) => end === 0)) return;
  throw new LetheError(
    'CONFIGURATION_INVALID',
    'LETHE_VAULT: this vault is empty, but LETHE_LOG holds events that another one seals: ' +
      'name the vault that belongs to the log',
  );
}

/** Where a restore works: beside the vault, or, when that is on servers, beside the backups. */
export function stagingOf({ vault, backupsFolder }: Configuration): string {
  return vault.engine === 'sqlite' ? `${vault.file}.restoring` : join(backupsFolder, 'restoring');
}

/**
 * In the staging of a restore, while what it has made is not whole in its place. When all lies
 * there it says what is left to do; before it is empty.
 */
export function placingMark(configuration: Configuration): string {
  return join(stagingOf(configuration), 'placing');
}

/** What a killed restore has left in place is not whole. Throws CONFIGURATION_INVALID. */
export function assertRestored(configuration: Configuration): void {
  const mark = statSync(placingMark(configuration), { throwIfNoEntry: false });
  if (mark === undefined) return;
  const { vault } = configuration;
  const where = vault.engine === 'sqlite' ? vault.file : `the keyspace ${vault.keyspace}`;
  const what =
    mark.size > 0
      ? 'and is not finished: run the same lethe restore once more'
      : 'and what is there is not whole: move the data away (or drop the keyspace), and run ' +
        'lethe restore once more';
  throw new LetheError('CONFIGURATION_INVALID', `a restore into ${where} was interrupted, ${what}`);
}

/** Opening a file of SQLite makes it: whoever only looks must not. */
export function assertThere(configuration: Configuration): void {
  const missing = embeddedFiles(configuration).find((file) => !existsSync(file));
  // Views are built anew when they are missing; log and vault are not.
  const { views } = configuration;
  if (missing === undefined || (views.engine === 'sqlite' && views.file === missing)) return;
  throw noStore(`${missing} is not there`);
}

/** The same for the projector, which is told of no vault: without a log there is no store. */
export function assertLogThere({ log }: Pick<Configuration, 'log'>): void {
  if (log.engine !== 'sqlite' || existsSync(log.file)) return;
  throw noStore(`${log.file} is not there`);
}

/** What a command or a service hears that does not make a store: one may come (retryable). */
export function noStore(why: string): LetheError {
  const text = `there is no store here: ${why}. Run this where the store is, or name its files in`;
  return new LetheError(
    'INPUT_INVALID',
    `${text} full; lethe serve, lethe serve ingest, lethe apps create and lethe keys create ` +
      '--scope account make one; after a loss, lethe restore',
    { retryable: true },
  );
}
