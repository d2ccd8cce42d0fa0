/** Old copies of a store's files, and what somebody who kept them would try with today's KMS. */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import type { SealedEvent } from '../../libs/codec/sealed-event.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { openEvents } from '../../libs/keyring/open-events.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import { storeVariables, type TestStore } from './temporary-store.ts';

const COLUMNS = `key, bucket, version, state, wrapping_key, own_key, holds, edges, wrapped, erasure,
  fingerprint`;
/** Roots, and the keys of buckets, with their predecessors: kinds 1, 2, 6, 8, 9, 10. */
const KEYS = {
  roots: "hex(substr(key, 17, 1)) IN ('01', '02', '08', '09')",
  'roots and bucket keys': "hex(substr(key, 17, 1)) IN ('01', '02', '06', '08', '09', '0A')",
  'roots and keys of predecessors': "hex(substr(key, 17, 1)) IN ('01', '02', '08', '09', '0A')",
} as const;
export type TodaysKeys = keyof typeof KEYS;

/** Copies files of the data as a backup or a snapshot would; gives the folder. */
export function copyFiles(store: TestStore, name: string, files = ['vault.db']): string {
  const folder = join(store.folder, name);
  mkdirSync(folder, { recursive: true });
  for (const file of files.flatMap((one) => ['', '-wal', '-shm'].map((end) => one + end))) {
    cpSync(join(store.folder, 'data', file), join(folder, file), { force: true });
  }
  return folder;
}

/** The rows of an older copy under keys of a newer one. */
export function joinCopies(
  store: TestStore,
  [older, newer]: [string, string],
  as: { name: string; keys: TodaysKeys },
): string {
  const folder = join(store.folder, as.name);
  cpSync(older, folder, { recursive: true });
  const database = new DatabaseSync(join(folder, 'vault.db'));
  const where = KEYS[as.keys];
  database.exec(`ATTACH '${join(newer, 'vault.db')}' AS newer;
    DELETE FROM vault_rows WHERE ${where};
    INSERT INTO vault_rows (${COLUMNS}) SELECT ${COLUMNS} FROM newer.vault_rows WHERE ${where};`);
  database.close();
  return folder;
}

/** A newer copy in which every row that is a fence, or gone, is again what the older one has. */
export function undoFences(
  store: TestStore,
  [older, newer]: [string, string],
  name: string,
): string {
  const folder = join(store.folder, name);
  cpSync(newer, folder, { recursive: true });
  const database = new DatabaseSync(join(folder, 'vault.db'));
  database.exec(`ATTACH '${join(older, 'vault.db')}' AS older;
    DELETE FROM vault_rows WHERE erasure IS NOT NULL;
    INSERT OR IGNORE INTO vault_rows (${COLUMNS}) SELECT ${COLUMNS} FROM older.vault_rows;`);
  database.close();
  return folder;
}

/** Opens the store with another vault (or another log and views), with today's KMS. */
export function openCopy(store: TestStore, folder: string, files = ['vault.db']) {
  const at = (file: string) =>
    `sqlite:${files.includes(file) ? folder : `${store.folder}/data`}/${file}`;
  const variables = {
    ...storeVariables(store.folder),
    LETHE_VAULT: at('vault.db'),
    LETHE_LOG: at('lethe.db'),
    LETHE_STATE: at('lethe.db'),
    LETHE_VIEWS: at('views.db'),
  };
  return openBackends(readConfiguration(variables));
}

/** How many of these events open, each tried by itself. */
export async function countOpening(
  backends: Backends,
  events: readonly SealedEvent[],
): Promise<number> {
  const reader = backends.reader();
  let opened = 0;
  for (const event of events) {
    try {
      const [content] = await openEvents(reader, [event]);
      if (content !== undefined) opened += 1;
    } catch (error) {
      if (!isLetheError(error)) throw error;
    }
  }
  return opened;
}
