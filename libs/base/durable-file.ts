/** Small files that must outlive a power cut: keys, certificates. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Writes `file` whole or not at all: beside it first, synced, renamed, then its folder synced. The
 * folder is made (mode 0700) when it is missing. Throws what Node's file functions throw.
 */
export function writeFileDurably(file: string, content: string | Buffer, mode: number): void {
  const folder = dirname(file);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const partial = `${file}.partial`;
  const handle = openSync(partial, 'w', mode);
  try {
    writeFileSync(handle, content);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(partial, file);
  syncFolder(folder);
}

/** A new name, or a removed one, is on disk when this returns. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  fsyncSync(handle);
  closeSync(handle);
}
