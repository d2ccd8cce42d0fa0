/** Work that one process at a time may do in a place. The system lets go of it with the process. */
import { mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** A lock that is held. */
export interface FileLock {
  release(): void;
}

/** Takes the lock that this file stands for; undefined: another process has it. */
export function lockFile(file: string): FileLock | undefined {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    // Before anything is written: without a journal, of which a kill would leave a file.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
  return {
    release() {
      // While it is held: the next one makes the file anew.
      rmSync(file, { force: true });
      database.close();
    },
  };
}

/** https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;
