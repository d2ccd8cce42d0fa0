/** The ingest service: every door puts its items into one queue. */

import { DAY_MS } from '../../libs/base/day.ts';
import type { AppId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { currentTrace, inSpan } from '../../libs/engines/tracing.ts';
import { lookPastDamage } from '../../libs/keyring/past-damage.ts';
import type { IngestPowers } from '../../libs/wiring/powers.ts';
import { acceptBatch } from './accept/accept-batch.ts';
import { createIngestQueue } from './accept/ingest-queue.ts';
import { areGone } from './plan/delivery-check.ts';
import type { IngestItem, Outcome } from './plan/ingest-item.ts';
import { Resolver } from './plan/resolver.ts';

/** Takes in deliveries and commands. Failures: OVERLOADED, SHUTTING_DOWN, and the engines' own. */
export interface Ingest {
  /**
   * Accepts items; resolves once all accepted ones are durable. Throws INPUT_INVALID for an unknown
   * app, OVERLOADED (retryable) when too much is waiting, SHUTTING_DOWN after `close`: then nothing
   * was accepted. Throws failures of the engines: then a part may have been, and is a duplicate
   * when it comes again.
   */
  accept(app: AppId, items: readonly IngestItem[]): Promise<Outcome[]>;
  /** Items that were taken in and are not answered yet. */
  readonly backlog: number;
  /** What became of all items that this process has answered. */
  readonly answered: Readonly<Record<Outcome['status'], number>>;
  /** Removes expired entries of the delivery ledger; the number removed. */
  sweep(): Promise<number>;
  /** Takes no more items and resolves when those under way are answered. */
  close(): Promise<void>;
}

// About ten seconds of work; what comes on top is told to come again: it would fill the memory.
const BACKLOG_ITEMS_MAX = 50_000;

/** Opens the service over its powers. */
export async function openIngest(powers: IngestPowers): Promise<Ingest> {
  const clock = await powers.recordingClock();
  const resolvers = new Map<AppId, Resolver>();
  let closed = false;
  // Names that were resolved stay in memory no longer than the keys of those they name.
  powers.keyring.listen((lost) => {
    for (const resolver of resolvers.values()) {
      if (lost === 'unknown') resolver.forget();
      else resolver.forgetLost(lost);
    }
  });

  async function resolverOf(app: AppId): Promise<Resolver> {
    const known = resolvers.get(app);
    if (known !== undefined) return known;
    const found = await powers.apps.find(app);
    if (found === undefined) throw new LetheError('INPUT_INVALID', 'there is no such app');
    const resolver = new Resolver(powers, found);
    resolvers.set(app, resolver);
    return resolver;
  }

  const answered = { accepted: 0, duplicate: 0, erased: 0, rejected: 0 };
  const queue = createIngestQueue(async (app, items) => {
    const links = items.flatMap(({ trace }) => trace ?? []);
    const span = { attributes: { 'lethe.items': items.length }, links };
    try {
      const outcomes = await inSpan('ingest batch', span, async () =>
        acceptBatch(items, { powers, clock, resolver: await resolverOf(app) }),
      );
      for (const { status } of outcomes) answered[status] += 1;
      return outcomes;
    } catch (error) {
      resolvers.get(app)?.forget();
      throw error;
    }
  });

  return {
    accept(app, items) {
      if (closed) {
        const error = new LetheError('SHUTTING_DOWN', 'shutting down', { retryable: true });
        return Promise.reject(error);
      }
      if (queue.backlog > 0 && queue.backlog + items.length > BACKLOG_ITEMS_MAX) {
        const error = new LetheError('OVERLOADED', 'too much is waiting', { retryable: true });
        return Promise.reject(error);
      }
      if (items.length === 0) return Promise.resolve([]);
      const trace = currentTrace();
      return queue.add(app, trace === undefined ? items : items.map((one) => ({ ...one, trace })));
    },
    answered,
    get backlog() {
      return queue.backlog;
    },
    async sweep() {
      const day = Math.floor(powers.clock.nowMs() / DAY_MS);
      const at = { day, horizonDays: powers.horizonDays };
      const failures: unknown[] = [];
      let removed = 0;
      for (const app of await powers.apps.list()) {
        try {
          // What lies under damaged rings nobody can tell: it counts as gone, and stays once more.
          removed += await powers.ledger.sweep(app.id, at, (entries) =>
            lookPastDamage(
              entries,
              (part) => areGone(powers, app, part),
              () => [true],
            ),
          );
        } catch (error) {
          // One app keeps no other from being swept.
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
      return removed;
    },
    async close() {
      closed = true;
      await queue.drained();
    },
  };
}
