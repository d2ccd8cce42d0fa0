/** How far the views are behind the log. */
import type { EventLog, LogPosition } from '../event-log/event-log.ts';
import type { ViewReader } from '../views/view-store.ts';

const LOOK_INTERVAL_MS = 5;
const LOOK_INTERVAL_MS_MAX = 50;

/** The consumer group that fills a generation of views. */
export function projectorGroup(generation: number): string {
  return `projector-${generation}`;
}

/** What it takes to compare views and log. */
export interface ViewsAndLog {
  readonly log: EventLog;
  readonly views: Pick<ViewReader, 'generation'>;
}

/** Waits until the views have everything up to these positions; false when the time is over. */
export async function waitForViews(
  { log, views }: ViewsAndLog,
  positions: readonly LogPosition[],
  timeoutMs: number,
): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  for (let waitMs = LOOK_INTERVAL_MS; ; waitMs = Math.min(waitMs * 1.5, LOOK_INTERVAL_MS_MAX)) {
    const next = await checkpointsOf({ log, views });
    if (positions.every(({ partition, offset }) => (next[partition] ?? 0) > offset)) return true;
    if (performance.now() >= deadlineMs) return false;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** How many records of the log the views have not yet. */
export async function recordsBehind({ log, views }: ViewsAndLog): Promise<number> {
  const ends = await log.endOffsets();
  const next = await checkpointsOf({ log, views });
  return ends.reduce((sum, end, i) => sum + Math.max(0, end - (next[i] ?? 0)), 0);
}

const looks = new WeakMap<EventLog, Promise<number[]>>();

/** All who ask at the same time share a look: one that began earlier never tells too much. */
export function checkpointsOf({ log, views }: ViewsAndLog): Promise<number[]> {
  const shared = looks.get(log);
  if (shared !== undefined) return shared;
  const look = async () => log.checkpoints(projectorGroup(await views.generation()));
  const own = look().finally(() => looks.delete(log));
  looks.set(log, own);
  return own;
}

/** The last position of each partition now. */
export async function lastPositions(log: EventLog): Promise<LogPosition[]> {
  const ends = await log.endOffsets();
  return ends.map((end, partition) => ({ partition, offset: end - 1 }));
}
