/**
 * Carries out requests that others recorded (removals that channels deliver) and those that a crash
 * interrupted. Two workers may meet over one request: every step can be repeated.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivacyPowers } from '../../libs/backends/open-backends.ts';
import { carryOut } from './carry-out.ts';

const BATCH_REQUESTS = 100;
const LOOK_INTERVAL_MS = 200;

/** Carries out all open requests; how many there were. */
export async function runOpenRequests(powers: PrivacyPowers): Promise<number> {
  let count = 0;
  for (;;) {
    const open = await powers.requests.open(BATCH_REQUESTS);
    if (open.length === 0) return count;
    for (const request of open) await carryOut(powers, request);
    count += open.length;
  }
}

/** Looks for open requests until the signal ends it; failures are reported and tried again. */
export async function runRequestWorker(
  powers: PrivacyPowers,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await runOpenRequests(powers);
    } catch (error) {
      onFailure(error);
    }
    await sleep(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}
