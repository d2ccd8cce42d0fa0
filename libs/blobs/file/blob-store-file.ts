/** Blobs as files: a folder an app, a folder for the first byte of the id. */

import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, readdirSync, rmSync, statSync } from 'node:fs';
import { access, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DAY_MS } from '../../base/day.ts';
import { makeFolders, syncFolder } from '../../base/durable-file.ts';
import { LetheError } from '../../base/lethe-error.ts';
import type { BlobKey, BlobStore } from '../blob-store.ts';

const PARTIAL = '.partial';
const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];

/** Opens blobs in a folder, which is made when it is first written to. */
export function openBlobStoreFile(folder: string): BlobStore {
  const appOf = (app: string) => join(folder, app);
  const fileOf = ({ app, blob }: BlobKey) => join(appOf(app), blob.slice(0, 2), blob);
  return {
    async put(key, chunks) {
      const file = fileOf(key);
      if (await isThere(file)) return;
      const partial = `${file}.${randomUUID()}${PARTIAL}`;
      try {
        const made = makeFolders(dirname(file));
        const written = createWriteStream(partial, { flags: 'wx', mode: 0o600, flush: true });
        await pipeline(chunks, written);
        await rename(partial, file);
        // The name, and those of the folders that lead to it.
        syncFolder(dirname(file));
        syncFolder(appOf(key.app));
        if (made !== undefined) syncFolder(dirname(made));
      } catch (error) {
        await rm(partial, { force: true });
        throw explain(error);
      }
    },
    async get(key, range) {
      const file = fileOf(key);
      if (!(await isThere(file))) return undefined;
      if (range !== undefined && range.end <= range.start) return Readable.from([]);
      // The last byte that is read, not the first that is not.
      const part = range && { start: range.start, end: range.end - 1 };
      return explained(createReadStream(file, part));
    },
    async size(key) {
      const found = await stat(fileOf(key)).catch(ifMissing);
      return found?.size;
    },
    async remove(keys) {
      for (const key of keys) await rm(fileOf(key), { force: true }).catch(rethrow);
      for (const place of new Set(keys.map((key) => dirname(fileOf(key))))) {
        if (await isThere(place)) syncFolder(place);
      }
    },
    async *list(app) {
      for (const file of filesOf(appOf(app))) {
        if (!file.endsWith(PARTIAL)) yield basename(file);
        // What a crash has left.
        else if (Date.now() - statSync(file).mtimeMs > DAY_MS) rmSync(file, { force: true });
      }
    },
  };
}

async function* explained(chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  try {
    yield* chunks;
  } catch (error) {
    throw explain(error);
  }
}

function* filesOf(folder: string): Iterable<string> {
  for (const place of names(folder)) {
    for (const name of names(join(folder, place))) yield join(folder, place, name);
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    return ifMissing(error) ?? [];
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    (error) => ifMissing(error) ?? false,
  );
}

function ifMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw explain(error);
}

function rethrow(error: unknown): never {
  throw explain(error);
}

// Errors of the chunks themselves pass as they are.
function explain(error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined) return error;
  if (FULL.includes(code)) return new LetheError('STORE_FULL', 'the folder of blobs is full');
  const text = `the folder of blobs cannot be used (${code})`;
  return new LetheError('BLOBS_UNREACHABLE', text, { retryable: true, cause: error });
}
