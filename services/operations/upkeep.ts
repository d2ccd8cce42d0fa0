/**
 * What the privacy service does by itself: turns of the epoch on their schedule, T1 noted in
 * certificates, and the reclaim of what is due.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { rebuildViews } from '../../libs/projection/project.ts';
import type { Afterlife } from '../../libs/requests/request.ts';
import type { EpochStatus } from '../../libs/vault/turn/epoch-status.ts';
import type { OpenStore } from '../../libs/wiring/open-backends.ts';
import { watchErasures } from '../privacy/life/enforce.ts';
import { type Reclaimed, reclaim } from '../privacy/life/reclaim.ts';
import { settleEpoch, turnEpoch } from './turn-epoch.ts';

/** What upkeep saw when it last looked; undefined: it has not looked yet. */
export interface EpochGauges {
  dirtyBuckets: number;
  waitingForT1: number;
  /** When the oldest of them was done. */
  oldestDoneAtMs: number | null;
  waitingForReclaim: number;
  /** Rows that the last turn found damaged. */
  damagedRows: number;
}

/** Twice this, and the look itself, are less than the two minutes that are promised. */
const LOOK_INTERVAL_MS = 55_000;
/** The look that finds what was written back within two minutes: it never rests. */
const LIST = 'list of erasures';
const HOUR_MS = 3_600_000;
const REST_MS_MAX = HOUR_MS;
/** Who runs a turn says so every two seconds. */
const TURN_SILENT_MS = 30_000;

/** Runs until the signal; a turn that was interrupted is gone on with at once. */
export async function runUpkeep(
  store: OpenStore,
  signal: AbortSignal,
  tell: {
    onFailure(part: string, error: unknown): void;
    onEpoch(seen: EpochGauges): void;
  },
  lookIntervalMs = LOOK_INTERVAL_MS,
): Promise<void> {
  // What fails is tried again after longer and longer: a turn makes a backup each time.
  const resting = new Map<string, { failures: number; untilMs: number }>();
  const attempt = async (part: string, work: () => Promise<unknown>): Promise<boolean> => {
    if (signal.aborted || performance.now() < (resting.get(part)?.untilMs ?? 0)) return false;
    try {
      await work();
      return resting.delete(part) || true;
    } catch (error) {
      const failures = (resting.get(part)?.failures ?? 0) + 1;
      const restMs = part === LIST ? 0 : Math.min(lookIntervalMs * 2 ** failures, REST_MS_MAX);
      resting.set(part, { failures, untilMs: performance.now() + restMs });
      tell.onFailure(part, error);
      return false;
    }
  };
  const enforce = watchErasures(store.backends.privacy(), (error) =>
    tell.onFailure('erasures', error),
  );
  while (!signal.aborted) {
    const isWhole = await attempt(LIST, enforce);
    await attempt('turn', () => turnIfDue(store));
    await attempt('T1', async () => {
      // Nothing is told of what could not be looked at.
      if (isWhole) {
        await settleEpoch(store, (key) => {
          const text = `a KMS key that was scheduled to go had been brought back: ${key}`;
          tell.onFailure('T1', new LetheError('ROOT_KMS_DENIED', text));
        });
      }
      const status = await store.backends.epoch().status();
      tell.onEpoch(await readGauges(store, status));
    });
    await attempt('reclaim', () => reclaimDue(store));
    await attempt('feed', () => store.backends.privacy().holders.pruneFeed());
    // Two privacy services must not overtake each other's rebuild again and again.
    const waitMs = lookIntervalMs * (1 + Math.random());
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
  }
}

async function readGauges(
  { backends }: OpenStore,
  { dirtyBuckets, lastTurn }: EpochStatus,
): Promise<EpochGauges> {
  const waiting = await backends.privacy().requests.afterlives();
  const forT1 = waiting.filter((one) => one.t1AtMs === null);
  const oldestDoneAtMs = forT1.reduce<number | null>(
    (oldest, { doneAtMs }) => Math.min(oldest ?? doneAtMs, doneAtMs),
    null,
  );
  const waitingForReclaim = waiting.filter((one) => one.reclaimedAtMs === null).length;
  const damagedRows = lastTurn?.damaged?.length ?? 0;
  const waitingForT1 = forT1.length;
  return { dirtyBuckets, waitingForT1, oldestDoneAtMs, waitingForReclaim, damagedRows };
}

/** Removes from log and views what is due. */
export async function reclaimDue(
  { backends }: OpenStore,
  onProgress: (text: string) => void = () => undefined,
): Promise<Reclaimed> {
  return reclaim(backends.privacy(), {
    onProgress: (done, total) => onProgress(`${done} of ${total} events looked at`),
    rebuildViews: () =>
      rebuildViews(backends.projector(), backends.reader().keyring, (done, total) =>
        onProgress(`${done} of ${total} events into the views`),
      ),
  });
}

async function turnIfDue(store: OpenStore): Promise<void> {
  const { backends, configuration } = store;
  const { turnEveryHours } = configuration;
  const { lastTurn, dirtyBuckets } = await backends.epoch().status();
  const powers = backends.privacy();
  const nowMs = powers.clock.nowMs();
  if (lastTurn !== null && lastTurn.step !== 'done') {
    // Whoever began it, and however: until it has ended no backup can be made.
    if (nowMs - lastTurn.aliveAtMs > TURN_SILENT_MS) await turnEpoch(store);
    return;
  }
  if (turnEveryHours === null) return;
  const { startedAtMs = 0, number = 0, failedApps = [] } = lastTurn ?? {};
  // A clock that was ahead must not put the next turn off for as long.
  const sinceMs = nowMs - startedAtMs;
  if (sinceMs >= 0 && sinceMs < turnEveryHours * HOUR_MS) return;
  // What an earlier turn covers waits for its KMS key to go, and for no other turn.
  const isUncovered = (one: Afterlife) => {
    return one.t1AtMs === null && (one.afterTurn >= number || failedApps.includes(one.app));
  };
  const uncovered = (await powers.requests.afterlives()).some(isUncovered);
  if (dirtyBuckets > 0 || uncovered) await turnEpoch(store);
}
