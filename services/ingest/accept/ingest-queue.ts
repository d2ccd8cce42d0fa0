/**
 * Lets batches form behind the one that is under way: whatever is asked for meanwhile shares the
 * next commit. One batch runs at a time, and a batch belongs to one app. Whoever had a turn longest
 * ago is next, and where several have come lately, batches are short: nobody waits for all that
 * another app has brought.
 * What is long about an item is whom it names: each may be somebody new.
 */
import type { AppId } from '../../../libs/base/ids.ts';
import { nextTurn } from '../../../libs/base/loop-turns.ts';
import { type IngestItem, namesIn, type Outcome } from '../plan/ingest-item.ts';

export interface IngestQueue {
  /** Rejects where a batch failed: parts of the request before that may have been taken in. */
  add(app: AppId, items: readonly IngestItem[]): Promise<Outcome[]>;
  /** Items that were added and are not answered. */
  readonly backlog: number;
  /** Resolves when nothing is under way. */
  drained(): Promise<void>;
}

interface Waiting {
  readonly items: readonly IngestItem[];
  /** How many people each of them names. */
  readonly names: readonly number[];
  /** How many of them are in batches by now. */
  taken: number;
  readonly outcomes: Outcome[];
  resolve(outcomes: Outcome[]): void;
  reject(error: unknown): void;
}

/** A part of what somebody waits for. */
interface Part {
  readonly waiting: Waiting;
  readonly items: readonly IngestItem[];
}

const BATCH_NAMES_MAX = 2_000;
const BATCH_NAMES_MAX_BESIDE_OTHERS = 20;
/** How long after its last request an app is one that others are beside. */
const LATELY_MS = 10_000;

/** Opens a queue; `accept` answers a batch, in its order. */
export function createIngestQueue(
  accept: (app: AppId, items: readonly IngestItem[]) => Promise<Outcome[]>,
): IngestQueue {
  const queues = new Map<AppId, Waiting[]>();
  /** Who had a turn lately; whoever had the last one is last. */
  const served = new Set<AppId>();
  /** When each app last brought something; who has come last is last. */
  const cameMs = new Map<AppId, number>();
  let running: Promise<void> | undefined;
  let backlog = 0;

  async function runBatch(app: AppId, batch: readonly Part[]): Promise<void> {
    const items = batch.flatMap((part) => part.items);
    try {
      const outcomes = await accept(app, items);
      let at = 0;
      for (const { waiting, items: own } of batch) {
        waiting.outcomes.push(...outcomes.slice(at, at + own.length));
        at += own.length;
        if (waiting.outcomes.length === waiting.items.length) waiting.resolve(waiting.outcomes);
      }
      backlog -= items.length;
    } catch (error) {
      for (const { waiting } of batch) give(app, waiting, error);
    }
  }

  /** Tells a failure; what is left of the request is not begun. */
  function give(app: AppId, waiting: Waiting, error: unknown): void {
    const queue = queues.get(app) ?? [];
    const left = queue.filter((one) => one !== waiting);
    if (left.length > 0) queues.set(app, left);
    else queues.delete(app);
    backlog -= waiting.items.length - waiting.outcomes.length;
    waiting.reject(error);
  }

  async function run(): Promise<void> {
    // Requests that arrive in the same turn of the event loop share the batch.
    await new Promise((resolve) => setImmediate(resolve));
    for (;;) {
      const app = nextApp();
      if (app === undefined) return;
      const queue = queues.get(app)!;
      const max = isAlone() ? BATCH_NAMES_MAX : BATCH_NAMES_MAX_BESIDE_OTHERS;
      const batch = takeBatch(queue, max);
      if (queue.length === 0) queues.delete(app);
      served.delete(app);
      served.add(app);
      await runBatch(app, batch);
      // Who reads comes between two batches, and so does who has just sent something.
      await nextTurn();
    }
  }

  function nextApp(): AppId | undefined {
    for (const app of queues.keys()) if (!served.has(app)) return app;
    for (const app of served) if (queues.has(app)) return app;
    return undefined;
  }

  /** Whoever comes while a batch is under way waits for it: others may come as they did lately. */
  function isAlone(): boolean {
    const sinceMs = performance.now() - LATELY_MS;
    for (const [app, ms] of cameMs) {
      if (ms >= sinceMs || queues.has(app)) continue;
      cameMs.delete(app);
      served.delete(app);
    }
    return cameMs.size <= 1;
  }

  function start(): void {
    running ??= run().finally(() => {
      running = undefined;
      if (backlog > 0) start();
    });
  }

  return {
    async add(app, items) {
      const names = items.map(namesIn);
      return new Promise((resolve, reject) => {
        cameMs.set(app, performance.now());
        const queue = queues.get(app) ?? [];
        queues.set(app, queue);
        queue.push({ items, names, taken: 0, outcomes: [], resolve, reject });
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

/** Takes from the front of a queue until a batch is full; a request that is longer is cut. */
function takeBatch(queue: Waiting[], max: number): Part[] {
  const batch: Part[] = [];
  let count = 0;
  while (queue.length > 0 && count < max) {
    const waiting = queue[0]!;
    const from = waiting.taken;
    while (waiting.taken < waiting.items.length && count < max) {
      count += waiting.names[waiting.taken]!;
      waiting.taken += 1;
    }
    batch.push({ waiting, items: waiting.items.slice(from, waiting.taken) });
    if (waiting.taken === waiting.items.length) queue.shift();
  }
  return batch;
}
