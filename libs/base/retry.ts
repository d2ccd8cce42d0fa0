/** How work is repeated that others may win, or that meets an engine which stalls; and given up. */
import { setTimeout as sleep } from 'node:timers/promises';
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

/** How long an engine that stalls is waited for, and by what time it is asked again. */
const STALL_MS_MAX = 120_000;
const STALL_WAIT_MS = 1_000;
/** Work that fails after so long had not stalled before. */
const WORKED_MS = 30_000;

/**
 * Does work that can be repeated until no engine stalls in it: a retryable failure is told to
 * `onTrouble`, and the work is done again a second later. Throws what two minutes have not ended.
 */
export async function throughStalls<Result>(
  work: () => Promise<Result>,
  onTrouble: (error: LetheError) => void = () => undefined,
): Promise<Result> {
  for (let untilMs = performance.now() + STALL_MS_MAX; ; ) {
    const beganMs = performance.now();
    try {
      return await work();
    } catch (error) {
      const nowMs = performance.now();
      if (nowMs - beganMs > WORKED_MS) untilMs = nowMs + STALL_MS_MAX;
      const mayEnd = isLetheError(error) && error.retryable && nowMs < untilMs;
      if (!mayEnd) throw error;
      onTrouble(error);
      await sleep(STALL_WAIT_MS);
    }
  }
}
