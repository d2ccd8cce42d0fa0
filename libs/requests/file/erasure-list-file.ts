/** The list of erasures as a file of JSON lines, synced at every addition. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { LetheError } from '../../base/lethe-error.ts';
import type { ErasureList, ListedErasure } from '../erasure-list.ts';

/** Opens the list; the file is made at the first addition, or the first backup. */
export function openErasureListFile(file: string): ErasureList {
  function append(text: string): void {
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      const handle = openSync(file, 'a', 0o600);
      writeSync(handle, text);
      fsyncSync(handle);
      closeSync(handle);
    } catch (cause) {
      const why = `LETHE_ERASURES: cannot write ${file}`;
      throw new LetheError('STATE_UNREACHABLE', why, { cause });
    }
  }
  return {
    async add(erasures) {
      if (erasures.length === 0) return;
      // A line that a crash cut off must not swallow the first one after it.
      append(erasures.map((erasure) => `\n${JSON.stringify(erasure)}`).join(''));
    },
    async begin() {
      if (!existsSync(file)) append('');
    },
    async isThere() {
      return existsSync(file);
    },
    async read() {
      if (!existsSync(file)) return [];
      return readFileSync(file, 'utf8').split('\n').flatMap(parseLine);
    },
  };
}

/** A line that was cut off was never acknowledged. */
function parseLine(line: string): ListedErasure[] {
  try {
    return line === '' ? [] : [JSON.parse(line) as ListedErasure];
  } catch {
    return [];
  }
}
