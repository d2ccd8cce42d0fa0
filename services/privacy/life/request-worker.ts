/**
 * Carries out requests that others recorded (removals that channels deliver) and those that a crash
 * interrupted. Two workers may meet over one request: every step can be repeated.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { carryOut } from './carry-out.ts';

const BATCH_REQUESTS = 100;
const LOOK_INTERVAL_MS = 200;
// Whoever began a request is given this long between two steps, on top of the lease that it may
// wait for. After that it counts as interrupted.
const IDLE_MS = 5_000;

/**
 * Carries out all open requests; how many were done. One that fails does not hold up the others: it
 * stays open, and the first failure is thrown when all were tried.
 */
export async function runOpenRequests(
  powers: PrivacyPowers,
  options: { idleMs: number } = { idleMs: 0 },
): Promise<number> {
  const failed = new Map<string, unknown>();
  let count = 0;
  for (;;) {
    const idleSinceMs = powers.clock.nowMs() - options.idleMs;
    const open = await powers.requests.open(BATCH_REQUESTS + failed.size, idleSinceMs);
    const next = open.filter((request) => !failed.has(request.id));
    if (next.length === 0) break;
    for (const [i, carried] of (await carryOut(powers, next)).entries()) {
      if ('failure' in carried) failed.set(next[i]!.id, carried.failure);
      else count += 1;
    }
  }
  for (const error of failed.values()) throw error;
  return count;
}

/** Looks for open requests until the signal ends it; failures are reported and tried again. */
export async function runRequestWorker(
  powers: PrivacyPowers,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await runOpenRequests(powers, { idleMs: powers.leaseMs + IDLE_MS });
    } catch (error) {
      onFailure(error);
    }
    await sleep(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}
