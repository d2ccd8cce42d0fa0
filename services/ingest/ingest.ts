/**
 * The ingest service: every door puts its items into one queue, and batches form behind the commit
 * that is under way, so that many small requests share one.
 */
import type { AppId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import type { IngestPowers } from '../../libs/backends/open-backends.ts';
import { openDurableClock } from '../../libs/event-log/clock-mark.ts';
import { DAY_MS } from '../../libs/sealing/tree-path.ts';
import { acceptBatch } from './accept-batch.ts';
import { areGone } from './delivery-check.ts';
import type { IngestItem, Outcome } from './ingest-item.ts';
import { WhoAndWhere } from './who-and-where.ts';

export interface Ingest {
  /**
   * Accepts items; resolves once all accepted ones are durable. Throws INPUT_INVALID for an unknown
   * app, SHUTTING_DOWN after `close`, and failures of the engines: then nothing was accepted.
   */
  accept(app: AppId, items: readonly IngestItem[]): Promise<Outcome[]>;
  /** Items that were taken in and are not answered yet. */
  readonly backlog: number;
  /** Removes expired entries of the delivery ledger; the number removed. */
  sweep(): Promise<number>;
  /** Takes no more items and resolves when those under way are answered. */
  close(): Promise<void>;
}

interface Waiting {
  readonly items: readonly IngestItem[];
  resolve(outcomes: Outcome[]): void;
  reject(error: unknown): void;
}

const BATCH_ITEMS_MAX = 2_000;

/** Opens the service over its powers. */
export async function openIngest(powers: IngestPowers): Promise<Ingest> {
  const clock = await openDurableClock(powers.clockMark, powers.clock);
  const queues = new Map<AppId, Waiting[]>();
  const resolvers = new Map<AppId, WhoAndWhere>();
  let running: Promise<void> | undefined;
  let backlog = 0;
  let closed = false;

  async function resolverOf(app: AppId): Promise<WhoAndWhere> {
    const known = resolvers.get(app);
    if (known !== undefined) return known;
    const found = await powers.apps.find(app);
    if (found === undefined) throw new LetheError('INPUT_INVALID', 'there is no such app');
    const resolver = new WhoAndWhere(powers, found);
    resolvers.set(app, resolver);
    return resolver;
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

  async function runBatch(app: AppId, batch: readonly Waiting[]): Promise<void> {
    try {
      const context = { powers, clock, who: await resolverOf(app) };
      const outcomes = await acceptBatch(batch.flatMap((waiting) => waiting.items), context);
      let at = 0;
      for (const waiting of batch) {
        waiting.resolve(outcomes.slice(at, at + waiting.items.length));
        at += waiting.items.length;
      }
    } catch (error) {
      resolvers.get(app)?.forget();
      for (const waiting of batch) waiting.reject(error);
    } finally {
      for (const waiting of batch) backlog -= waiting.items.length;
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
      if ([...queues.values()].some((queue) => queue.length > 0)) start();
    });
  }

  return {
    accept(app, items) {
      if (closed) {
        const error = new LetheError('SHUTTING_DOWN', 'shutting down', { retryable: true });
        return Promise.reject(error);
      }
      if (items.length === 0) return Promise.resolve([]);
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
    async sweep() {
      const day = Math.floor(powers.clock.nowMs() / DAY_MS);
      const at = { day, horizonDays: powers.horizonDays };
      let removed = 0;
      for (const app of await powers.apps.list()) {
        const isGone = (entries: Parameters<typeof areGone>[2]) => areGone(powers, app, entries);
        removed += await powers.ledger.sweep(app.id, at, isGone);
      }
      return removed;
    },
    async close() {
      closed = true;
      while (running !== undefined) await running;
    },
  };
}
