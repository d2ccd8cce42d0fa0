/** Entries of the list of erasures as files of a folder, named by their numbers. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  fileFailure,
  makeFolders,
  readRegularFile,
  writeNewFileDurably,
} from '../../base/durable-file.ts';
import type { ErasureEntries } from '../erasure-list.ts';

const DIGITS = 12;
const NAME = /^(\d{12})\.json$/;

/** Opens the folder; it is made at the first entry, or the first backup. */
export function openErasureEntriesFile(folder: string): ErasureEntries {
  const fileOf = (number: number) => join(folder, `${String(number).padStart(DIGITS, '0')}.json`);
  // Looked for once: from there on numbers are tried one after the other.
  let newest = 0;

  function attempt<Result>(what: string, work: () => Result, at = folder): Result {
    try {
      return work();
    } catch (cause) {
      throw fileFailure(cause, 'CONFIGURATION_INVALID', `LETHE_ERASURES: cannot ${what} ${at}`);
    }
  }

  return {
    name: folder,
    async begin() {
      attempt('make', () => makeFolders(folder));
    },
    async isThere() {
      return existsSync(folder);
    },
    async newest() {
      if (newest === 0 || !existsSync(fileOf(newest))) {
        const names = attempt('read', () => (existsSync(folder) ? readdirSync(folder) : []));
        const numbers = names.map((name) => Number(NAME.exec(name)?.[1] ?? 0));
        newest = numbers.reduce((high, number) => Math.max(high, number), 0);
      }
      while (existsSync(fileOf(newest + 1))) newest += 1;
      return newest;
    },
    async read(number) {
      const file = fileOf(number);
      if (!existsSync(file)) return undefined;
      return attempt('read', () => readRegularFile(file).toString('utf8'), file);
    },
    async create(number, text) {
      return attempt('write', () => writeNewFileDurably(fileOf(number), text, 0o600));
    },
    async remove(number) {
      attempt('write', () => rmSync(fileOf(number), { force: true }));
    },
  };
}
