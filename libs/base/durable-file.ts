/** Small files that must outlive a power cut: keys, certificates, the list of erasures. */
import { randomUUID } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ErrorCode, LetheError } from './lethe-error.ts';

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

/**
 * The bytes of a file. Throws what Node's file functions throw, and NOT_A_FILE for what is none: of
 * a pipe, whoever opened it would wait for its other end.
 */
export function readRegularFile(file: string): Buffer {
  const handle = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (fstatSync(handle).isFile()) return readFileSync(handle);
    throw Object.assign(new Error('not a regular file'), { code: 'NOT_A_FILE' });
  } finally {
    closeSync(handle);
  }
}

const NO_ROOM = ['ENOSPC', 'EDQUOT'];

/** A failure of Node's file functions in our terms: STORE_FULL without room, else `code`. */
export function fileFailure(cause: unknown, code: ErrorCode, what: string): LetheError {
  const { code: why = 'unknown' } = cause as NodeJS.ErrnoException;
  const isFull = NO_ROOM.includes(why);
  const advice = isFull ? ': make room and try again' : '';
  return new LetheError(isFull ? 'STORE_FULL' : code, `${what} (${why})${advice}`, { cause });
}

/**
 * Looks whether files can be made in a folder, or it can be made itself. Nothing is made. Throws
 * CONFIGURATION_INVALID, naming the variable that names it.
 */
export function assertFolderUsable(variable: string, folder: string): void {
  let at = resolve(folder);
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  const told = at === resolve(folder) ? at : `${at}, where ${folder} is to be made`;
  const advice = 'name a folder that this user may write';
  if (!statSync(at).isDirectory()) {
    const text = `${variable}: ${told} is a file, not a folder: ${advice}`;
    throw new LetheError('CONFIGURATION_INVALID', text);
  }
  try {
    accessSync(at, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const { code: why = 'unknown' } = cause as NodeJS.ErrnoException;
    const text = `${variable}: cannot write ${told} (${why}): ${advice}`;
    throw new LetheError('CONFIGURATION_INVALID', text, { cause });
  }
}

/** Under a name of its own: another process may be writing the same file. */
function writePartial(file: string, content: string | Buffer, mode: number): string {
  makeFolders(dirname(file));
  const partial = `${file}.${randomUUID()}.partial`;
  const handle = openSync(partial, 'wx', mode);
  try {
    writeFileSync(handle, content);
    fsyncSync(handle);
    return partial;
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  } finally {
    closeSync(handle);
  }
}

/** A new name, or a removed one, is on disk when this returns. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  fsyncSync(handle);
  closeSync(handle);
}
