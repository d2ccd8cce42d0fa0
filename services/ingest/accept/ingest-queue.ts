/**
 * Lets batches form behind the one that is under way: whatever is asked for meanwhile shares the
 * next commit. One batch runs at a time, and a batch belongs to one app.
 */
import type { AppId } from '../../../libs/base/ids.ts';
import type { IngestItem, Outcome } from '../plan/ingest-item.ts';

export interface IngestQueue {
  add(app: AppId, items: readonly IngestItem[]): Promise<Outcome[]>;
  /** Items that were added and are not answered. */
  readonly backlog: number;
  /** Resolves when nothing is under way. */
  drained(): Promise<void>;
}

interface Waiting {
  readonly items: readonly IngestItem[];
  resolve(outcomes: Outcome[]): void;
  reject(error: unknown): void;
}

const BATCH_ITEMS_MAX = 2_000;

/** Opens a queue; `accept` answers a batch, in its order. */
export function createIngestQueue(
  accept: (app: AppId, items: readonly IngestItem[]) => Promise<Outcome[]>,
): IngestQueue {
  const queues = new Map<AppId, Waiting[]>();
  let running: Promise<void> | undefined;
  let backlog = 0;

  async function runBatch(app: AppId, batch: readonly Waiting[]): Promise<void> {
    const items = batch.flatMap((waiting) => waiting.items);
    try {
      const outcomes = await accept(app, items);
      let at = 0;
      for (const waiting of batch) {
        waiting.resolve(outcomes.slice(at, at + waiting.items.length));
        at += waiting.items.length;
      }
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    } finally {
      backlog -= items.length;
    }
  }

  async function run(): Promise<void> {
    // Requests that arrive in the same turn of the event loop share the batch.
    await new Promise((resolve) => setImmediate(resolve));
    for (;;) {
      const next = [...queues].find(([, queue]) => queue.length > 0);
      if (next === undefined) return;
      await runBatch(next[0], takeBatch(next[1]));
    }
  }

  function start(): void {
    running ??= run().finally(() => {
      running = undefined;
      if (backlog > 0) start();
    });
  }

  return {
    add(app, items) {
      return new Promise((resolve, reject) => {
        const queue = queues.get(app) ?? [];
        queues.set(app, queue);
        queue.push({ items, resolve, reject });
        backlog += items.length;
        start();
      });
    },
    get backlog() {
      return backlog;
    },
    async drained() {
      while (running !== undefined) await running;
    },
  };
}

/** Takes whole requests off the queue until the batch is full; the first always fits. */
function takeBatch(queue: Waiting[]): Waiting[] {
  const batch: Waiting[] = [];
  let count = 0;
  while (queue.length > 0 && (count === 0 || count + queue[0]!.items.length <= BATCH_ITEMS_MAX)) {
    const next = queue.shift()!;
    count += next.items.length;
    batch.push(next);
  }
  return batch;
}
