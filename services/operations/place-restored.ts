/**
 * The last step of a restore: what was made ready in a folder becomes the store. Files are moved;
 * state and vault on servers are filled, the row of the store's root last of all, because without
 * it no service opens a vault.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { makeFolders } from '../../libs/base/durable-file.ts';
import { isLetheError, LetheError } from '../../libs/base/lethe-error.ts';
import {
  type Configuration,
  embeddedFiles,
  fileOf,
} from '../../libs/configuration/configuration.ts';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import { copyTurns } from '../../libs/vault/copy/copy-turns.ts';
import { fillVault, hasStoreRoot } from '../../libs/vault/copy/fill-vault.ts';
import { openConnections } from '../../libs/wiring/connections.ts';
import { openState, openVault } from '../../libs/wiring/open-engines.ts';
import { copyState } from './copy-state.ts';

// SQLite would play an old write-ahead log into the restored file.
const ENDS = ['', '-wal', '-shm', '-journal'];

/** Is there nothing where a store is to be restored? */
export async function isVacant(configuration: Configuration): Promise<boolean> {
  try {
    await assertVacant(configuration);
    return true;
  } catch (error) {
    if (isLetheError(error, 'INPUT_INVALID')) return false;
    throw error;
  }
}

/** Throws INPUT_INVALID when there is a store where one is to be restored. */
export async function assertVacant(configuration: Configuration): Promise<void> {
  for (const file of embeddedFiles(configuration).flatMap((one) => ENDS.map((end) => one + end))) {
    if (!existsSync(file)) continue;
    throw new LetheError('INPUT_INVALID', `${file} is there: move the data away first`);
  }
  const { vault } = configuration;
  if (vault.engine === 'sqlite') return;
  await withOpened(async (open) => {
    if (!(await hasStoreRoot((await open.vault(configuration)).store))) return;
    const text = `there is a store in the keyspace ${vault.keyspace}: drop it first, and migrate`;
    throw new LetheError('INPUT_INVALID', text);
  });
}

/** Moves and fills: files first, then state, and the vault last, with its root last of all. */
export async function placeRestored(
  staged: Configuration,
  configuration: Configuration,
  onProgress: (text: string) => void,
): Promise<void> {
  const { log, state, views, vault } = configuration;
  if (views.engine === 'sqlite') moveFile(fileOf(staged.views), views.file);
  if (log.engine === 'sqlite') moveFile(fileOf(staged.log), log.file);
  else if (state.engine === 'sqlite') moveFile(fileOf(staged.state), state.file);
  if (state.engine !== 'sqlite') {
    await withOpened(async (open) => {
      await copyState(await open.state(staged), await open.state(configuration));
    });
  }
  if (vault.engine === 'sqlite') moveFile(fileOf(staged.vault), vault.file);
  else await withOpened((open) => fill(open, { staged, configuration, onProgress }));
}

/** Also to another file system: whole or not at all. */
function moveFile(from: string, to: string): void {
  makeFolders(dirname(to));
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    copyFileSync(from, `${to}.partial`);
    const handle = openSync(`${to}.partial`, 'r');
    fsyncSync(handle);
    closeSync(handle);
    renameSync(`${to}.partial`, to);
    rmSync(from);
  }
}

async function fill(open: Opened, { staged, configuration, onProgress }: Placing): Promise<void> {
  const [from, to] = [await open.vault(staged), await open.vault(configuration)];
  const { foreignRows } = await fillVault(from, to, (rows) =>
    onProgress(`${rows} rows of the vault`),
  );
  // As it is: the copy has the key that authenticates it.
  await copyTurns(from.turns, to.turns);
  if (foreignRows === 0) return;
  const text = `${foreignRows} rows of another restore are in the keyspace: drop it, and migrate`;
  throw new LetheError('INPUT_INVALID', text);
}

interface Placing {
  readonly staged: Configuration;
  readonly configuration: Configuration;
  onProgress(text: string): void;
}

interface Opened {
  vault(configuration: Configuration): ReturnType<typeof openVault>;
  state(configuration: Configuration): ReturnType<typeof openState>;
}

/** Runs work with engines that are opened as it asks for them, and closes them. */
async function withOpened(work: (open: Opened) => Promise<void>): Promise<void> {
  const use = { wake: createWakeSignal(), connections: openConnections() };
  const closing: { close(): Promise<void> }[] = [];
  const keep = async <One extends { close(): Promise<void> }>(opening: Promise<One>) => {
    const opened = await opening;
    closing.push(opened);
    return opened;
  };
  try {
    await work({
      vault: (of) => keep(openVault(of, use)),
      state: (of) => keep(openState(of, use)),
    });
  } finally {
    await Promise.all(closing.map((one) => one.close()));
    use.connections.close();
  }
}
