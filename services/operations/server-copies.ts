/**
 * What engines on servers hold of a store, written into files, so that it can be searched like the
 * files of embedded ones. The files of the servers themselves are not seen from here.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { readLog } from '../../libs/event-log/read-log.ts';
import type { OpenStore } from '../../libs/wiring/open-backends.ts';
import { copyData } from './copy-data.ts';

/** What a search of such copies leaves out. */
export const SERVER_FILES = 'files of the servers: segments, SSTables, commit logs, snapshots';

/** Does a part of the store lie on servers? */
export function isOnServers({ configuration }: OpenStore): boolean {
  const { log, vault, state, views } = configuration;
  return [log, vault, state, views].some(({ engine }) => engine !== 'sqlite');
}

/** Copies log and views record by record, vault and state row by row, into a folder. */
export async function copyOutServers(store: OpenStore, folder: string): Promise<void> {
  const { backends } = store;
  await writeAll(join(folder, 'log.bin'), logRecords(store));
  await writeAll(join(folder, 'views.bin'), backends.reader().views.scanRecords());
  await copyData(store, folder);
}

async function* logRecords({ backends }: OpenStore): AsyncIterable<Buffer> {
  for await (const records of readLog(backends.reader().log)) {
    for (const { key, value } of records) {
      yield key;
      yield value;
    }
  }
}

async function writeAll(file: string, chunks: AsyncIterable<Buffer>): Promise<void> {
  const handle = openSync(file, 'wx', 0o600);
  try {
    for await (const chunk of chunks) writeSync(handle, chunk);
  } finally {
    closeSync(handle);
  }
}
