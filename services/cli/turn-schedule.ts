/** Turns of the epoch on a schedule, when anything was erased since the last. */
import { setTimeout as sleep } from 'node:timers/promises';
import { turnEpoch } from './epoch-commands.ts';
import type { OpenStore } from './open-store.ts';

const LOOK_INTERVAL_MS = 60_000;
const HOUR_MS = 3_600_000;

/** Runs until the signal; a turn that was interrupted is gone on with at once. */
export async function runTurnSchedule(
  store: OpenStore,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<void> {
  const { turnEveryHours } = store.configuration;
  if (turnEveryHours === null) return;
  while (!signal.aborted) {
    try {
      if (await isDue(store, turnEveryHours * HOUR_MS)) await turnEpoch(store);
    } catch (error) {
      onFailure(error);
    }
    await sleep(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function isDue({ backends }: OpenStore, everyMs: number): Promise<boolean> {
  const { lastTurn, dirtyBuckets } = await backends.epoch().status();
  if (lastTurn !== null && lastTurn.step !== 'done') return true;
  const sinceMs = backends.privacy().clock.nowMs() - (lastTurn?.startedAtMs ?? 0);
  return dirtyBuckets > 0 && sinceMs >= everyMs;
}
