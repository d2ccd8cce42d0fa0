/**
 * What the privacy service does by itself: turns of the epoch on their schedule, T1 noted in
 * certificates, and the reclaim of what is due.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { noteT1 } from '../privacy/afterlife.ts';
import { type Reclaimed, reclaim } from '../privacy/reclaim.ts';
import { rebuildViews } from '../projector/project.ts';
import { turnEpoch } from './epoch-commands.ts';
import type { OpenStore } from './open-store.ts';

const LOOK_INTERVAL_MS = 60_000;
const HOUR_MS = 3_600_000;

/** Runs until the signal; a turn that was interrupted is gone on with at once. */
export async function runUpkeep(
  store: OpenStore,
  signal: AbortSignal,
  onFailure: (part: string, error: unknown) => void,
): Promise<void> {
  const attempt = async (part: string, work: () => Promise<unknown>) => {
    if (signal.aborted) return;
    await work().catch((error: unknown) => onFailure(part, error));
  };
  while (!signal.aborted) {
    await attempt('turn', () => turnIfDue(store));
    await attempt('T1', async () => {
      const { lastTurn } = await store.backends.epoch().status();
      await noteT1(store.backends.privacy(), lastTurn);
    });
    await attempt('reclaim', () => reclaimDue(store));
    await attempt('feed', () => store.backends.privacy().keyring.pruneFeed());
    // Two privacy services must not overtake each other's rebuild again and again.
    const waitMs = LOOK_INTERVAL_MS * (1 + Math.random());
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Removes from log and views what is due. */
export async function reclaimDue(
  { backends }: OpenStore,
  onProgress: (text: string) => void = () => undefined,
): Promise<Reclaimed> {
  return reclaim(backends.privacy(), {
    onProgress: (done, total) => onProgress(`${done} of ${total} events looked at`),
    rebuildViews: () =>
      rebuildViews(backends.projector(), (done, total) =>
        onProgress(`${done} of ${total} events into the views`),
      ),
  });
}

async function turnIfDue(store: OpenStore): Promise<void> {
  const { turnEveryHours } = store.configuration;
  if (turnEveryHours === null) return;
  const { backends } = store;
  const { lastTurn, dirtyBuckets } = await backends.epoch().status();
  const isInterrupted = lastTurn !== null && lastTurn.step !== 'done';
  const powers = backends.privacy();
  const sinceMs = powers.clock.nowMs() - (lastTurn?.startedAtMs ?? 0);
  if (!isInterrupted && sinceMs < turnEveryHours * HOUR_MS) return;
  const waiting = (await powers.requests.afterlives()).some((one) => one.t1AtMs === null);
  if (isInterrupted || dirtyBuckets > 0 || waiting) await turnEpoch(store);
}
