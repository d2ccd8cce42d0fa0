/** One way to repeat a conditional write that others may win, and to give up on it. */
import { isLetheError, LetheError } from './lethe-error.ts';

/** An attempt that lost a race gives this, and is made again. */
export const again: unique symbol = Symbol('again');

// A writer that loses so many races in a row meets a defect, which must not spin for ever.
const ATTEMPTS_MAX = 16;

/**
 * Makes an attempt until it gives something else than `again`; it is told how many came before it.
 * Throws CONTENDED (retryable) after 16 attempts, or `attemptsMax`.
 */
export async function retryContended<Result>(
  attempt: (before: number) => Promise<Result | typeof again>,
  attemptsMax = ATTEMPTS_MAX,
): Promise<Result> {
  for (let before = 0; before < attemptsMax; before += 1) {
    const result = await attempt(before).catch(lostRace);
    if (result !== again) return result as Result;
  }
  throw contended();
}

/** A key that was zeroed meanwhile is asked for again, like a row that has changed. */
function lostRace(error: unknown): typeof again {
  if (isLetheError(error, 'CONTENDED')) return again;
  throw error;
}

/** Others were first: the same call may succeed later. */
export function contended(): LetheError {
  return new LetheError('CONTENDED', 'the vault is too busy: try again', { retryable: true });
}
