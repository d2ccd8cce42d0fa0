/** Files that are named on the command line. */
import { readFileSync } from 'node:fs';
import { LetheError } from '../../libs/base/lethe-error.ts';

/**
 * The text of a file, `-` for standard input; `what` names it in messages. Throws INPUT_INVALID:
 * it cannot be read.
 */
export function readNamedFile(file: string, what: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    const { code = 'unknown' } = cause as NodeJS.ErrnoException;
    throw new LetheError('INPUT_INVALID', `${what}: cannot read ${file} (${code})`, { cause });
  }
}
