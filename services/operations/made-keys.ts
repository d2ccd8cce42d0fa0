/**
 * KMS keys that restores have made and that no store has taken over: a restore that was killed
 * leaves one, and copies of what it had made ready open with it. They are noted beside the backups,
 * under a code of the store that is restored, so that nobody else can have a key ended.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { syncFolder, writeFileDurably } from '../../libs/base/durable-file.ts';
import type { KeyId } from '../../libs/base/ids.ts';
import { labels } from '../../libs/codec/labels.ts';
import type { Configuration } from '../../libs/configuration/configuration.ts';
import { isSameMac, type StoreMac } from '../../libs/keyring/store-mac.ts';

/** Keys that were made for the place of a restore. */
export interface MadeKeys {
  /** Notes one, durably, before it is used. */
  note(key: KeyId): Promise<void>;
  /** Those of restores into the same place, whose code holds. */
  read(): Promise<KeyId[]>;
  /** Forgets those of this place, durably: the last is a store's, which waits for the others. */
  forget(): void;
}

interface Noted {
  readonly key: KeyId;
  readonly place: string;
  readonly code: string;
}

/** Opens the note. Failures: those of StoreMac, and of Node's file functions. */
export function openMadeKeys(
  { backupsFolder, vault }: Pick<Configuration, 'backupsFolder' | 'vault'>,
  mac: StoreMac,
): MadeKeys {
  const file = join(backupsFolder, 'restoring.keys');
  // A drill into another place beside it is not to end the keys of this one.
  const place = vault.engine === 'sqlite' ? vault.file : vault.keyspace;
  const codeOf = (key: string) => mac.mac(labels.madeKey, [key, place]);

  function lines(): Noted[] {
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8').split('\n').filter(Boolean).flatMap(parse);
  }

  const write = (notes: readonly Noted[]) => {
    writeFileDurably(file, notes.map((one) => JSON.stringify(one)).join('\n'), 0o600);
  };

  return {
    async note(key) {
      const noted: Noted = { key, place, code: await codeOf(key) };
      write([...lines(), noted]);
    },
    async read() {
      const keys: KeyId[] = [];
      for (const one of lines()) {
        const isOurs = one.place === place && isSameMac(one.code, await codeOf(one.key));
        if (isOurs) keys.push(one.key);
      }
      return keys;
    },
    forget() {
      const others = lines().filter((one) => one.place !== place);
      if (others.length > 0) return write(others);
      rmSync(file, { force: true });
      if (existsSync(dirname(file))) syncFolder(dirname(file));
    },
  };
}

/** What is no note was written by somebody else. */
function parse(line: string): Noted[] {
  try {
    const { key, place, code } = JSON.parse(line) as Noted;
    return [key, place, code].every((one) => typeof one === 'string') ? [{ key, place, code }] : [];
  } catch {
    return [];
  }
}
