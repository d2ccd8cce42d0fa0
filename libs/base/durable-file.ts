/** Small files that must outlive a power cut: keys, certificates. */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Writes `file` whole or not at all: beside it first, synced, renamed, then its folder synced. The
 * folder is made (mode 0700) when it is missing. Throws what Node's file functions throw.
 */
export function writeFileDurably(file: string, content: string | Buffer, mode: number): void {
  const partial = writePartial(file, content, mode);
  renameSync(partial, file);
  syncFolder(dirname(file));
}

/** The same, unless the file is there: of several processes the first one writes. Was it this? */
export function writeNewFileDurably(file: string, content: string, mode: number): boolean {
  const partial = writePartial(file, content, mode);
  try {
    linkSync(partial, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(partial);
    syncFolder(dirname(file));
  }
}

/**
 * Makes a folder with those above it that are missing; the first that was made. Node's own way,
 * `recursive`, never returns where a folder can be looked at but nothing made in it, as in /proc.
 */
export function makeFolders(folder: string, mode = 0o700): string | undefined {
  const missing: string[] = [];
  for (let at = resolve(folder); !existsSync(at); at = dirname(at)) missing.unshift(at);
  if (missing.length === 0 && !statSync(folder).isDirectory()) mkdirSync(folder);
  for (const one of missing) {
    try {
      mkdirSync(one, { mode });
    } catch (error) {
      // Another process may have made it meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  return missing[0];
}

/** Under a name of its own: another process may be writing the same file. */
function writePartial(file: string, content: string | Buffer, mode: number): string {
  makeFolders(dirname(file));
  const partial = `${file}.${randomUUID()}.partial`;
  const handle = openSync(partial, 'wx', mode);
  try {
    writeFileSync(handle, content);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  return partial;
}

/** A new name, or a removed one, is on disk when this returns. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  fsyncSync(handle);
  closeSync(handle);
}
