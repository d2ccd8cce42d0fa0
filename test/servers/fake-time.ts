/** A process whose wall clock is wrong, by Debian's libfaketime; the monotonic clock stays. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fetchDebian } from './downloads.ts';

/** The environment of a process that lives so many seconds ahead (or, negative, behind). */
export function fakeTime(seconds: number): Record<string, string> {
  const libraries = join(fetchDebian('libfaketime', ['libfaketime']), 'usr/lib');
  const machine = readdirSync(libraries).find((name) => name.includes('linux-gnu'));
  if (machine === undefined) throw new Error('libfaketime: package not as known');
  return {
    LD_PRELOAD: join(libraries, machine, 'faketime/libfaketime.so.1'),
    FAKETIME: `${seconds < 0 ? '' : '+'}${seconds}s`,
    DONT_FAKE_MONOTONIC: '1',
  };
}
