/** Input of drills: real conversations where CI names a folder of them, else generated ones. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chatLines } from '../bench/bench-store.ts';

// Set by CI to a folder of real conversations; without it a generated file of 20,000 lines is used.
const DATA = process.env.TEST_DATA;

/** Files with the number of messages in each. */
export function inputFiles(folder: string): [file: string, messages: number][] {
  if (DATA !== undefined && existsSync(DATA)) {
    return [
      [join(DATA, 'ubuntu-irc.jsonl.gz'), 225_069],
      [join(DATA, 'xpersona.jsonl.gz'), 81_316],
    ];
  }
  // Over two and a half years.
  const shape = { rooms: 120, people: 700, stepMs: 4_000_000 };
  const file = join(folder, 'generated.jsonl');
  writeFileSync(file, [...chatLines(20_000, shape)].join('\n'));
  return [[file, 20_000]];
}
