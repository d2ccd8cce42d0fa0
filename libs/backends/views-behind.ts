/** How far the views are behind the log. */
import type { EventLog, LogPosition } from '../event-log/event-log.ts';
import type { ViewReader } from '../views/view-store.ts';

const LOOK_INTERVAL_MS = 5;

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
  for (;;) {
    const next = await log.checkpoints(projectorGroup(await views.generation()));
    if (positions.every(({ partition, offset }) => (next[partition] ?? 0) > offset)) return true;
    if (performance.now() >= deadlineMs) return false;
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS));
  }
}

/** The last position of each partition now. */
export async function lastPositions(log: EventLog): Promise<LogPosition[]> {
  const ends = await log.endOffsets();
  return ends.map((end, partition) => ({ partition, offset: end - 1 }));
}
