/**
 * The drills of one run of CI. All of them take longer than a change can wait for: each run draws a
 * third of the long ones by the hash of its commit, and over a few commits all have run.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';

/**
 * Of the files of long drills those that this run leaves out: none, unless CI runs it. There
 * `DRILLS=all` asks for all. What is left out is printed.
 */
export function leaveOut(long: readonly string[]): string[] {
  const { CI, DRILLS = 'drawn' } = process.env;
  if (DRILLS !== 'all' && DRILLS !== 'drawn') throw new Error('DRILLS: all, or drawn');
  if (CI === undefined || DRILLS === 'all') return [];
  const commit = execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' }).trim();
  const rankOf = (name: string) => createHash('sha256').update(`${commit} ${name}`).digest('hex');
  const ranked = long.toSorted((a, b) => rankOf(a).localeCompare(rankOf(b)));
  const left = ranked.slice(Math.ceil(long.length / 3));
  process.stderr.write(`left out by this commit: ${left.join(', ')}; DRILLS=all runs all\n`);
  return left;
}
