/**
 * Pages of 50 messages out of a large conversation in Cassandra: through the views, and from the
 * cache in Redis; and what a message takes on disk, from which larger stores are reckoned.
 */
import { randomBytes } from 'node:crypto';
import { HmacKey } from '../../../libs/codec/hash.ts';
import type { Position, ViewChange } from '../../../libs/conversation/view-changes.ts';
import { openViewCacheMemory } from '../../../libs/views/cache/memory/view-cache-memory.ts';
import { createPageReader } from '../../../libs/views/cache/page-reader.ts';
import { openViewCacheRedis } from '../../../libs/views/cache/redis/view-cache-redis.ts';
import { median, percentile } from '../statistics.ts';
import { newEngineStore } from './engine-store.ts';

const MESSAGES = Number(process.env.BENCH_MESSAGES ?? 50_000);
const BATCH = 1_000;
const PAGE = 50;
const CONVERSATIONS = 100;
const RECORD_BYTES = 700;
const READS = 400;
const ROUNDS = 5;
/** Ten minutes between two messages of a conversation. */
const STEP_MS = 600_000;
const FROM_MS = 1_600_000_000_000;

interface Place {
  readonly conversation: string;
  readonly before: string;
}

const hex = (count: number) => randomBytes(count).toString('hex');

function position(ms: number, event: string): Position {
  return (ms.toString(16).padStart(16, '0') + '0'.repeat(16) + event) as Position;
}

/** Messages of all conversations in turn, as the fold gives them. */
function* changesOf(app: string, conversations: readonly string[]): Iterable<ViewChange[]> {
  for (let from = 0; from < MESSAGES; from += BATCH) {
    const batch: ViewChange[] = [];
    for (let i = from; i < Math.min(from + BATCH, MESSAGES); i += 1) {
      const conversation = conversations[i % conversations.length]!;
      const ms = FROM_MS + Math.floor(i / conversations.length) * STEP_MS;
      const message = hex(16);
      const at = position(ms, message);
      const record = randomBytes(RECORD_BYTES);
      batch.push(
        { row: 'message', conversation, message, position: at, attempt: 1, record },
        { row: 'conversation', app, conversation, position: at, message, version: i + 1 },
      );
    }
    yield batch;
  }
}

async function timeReads(read: (at: Place) => Promise<unknown>, places: readonly Place[]) {
  const times: number[] = [];
  for (const place of places) {
    const from = performance.now();
    await read(place);
    times.push(performance.now() - from);
  }
  return { p50Ms: percentile(times, 50), p99Ms: percentile(times, 99) };
}

/** Milliseconds of a page, each way, and bytes a message. */
export async function benchPages(servers: Readonly<Record<string, string>>) {
  const store = await newEngineStore(servers);
  const { views } = store.backends.projector();
  const reader = store.backends.reader().views;
  const { cache: engine } = store.configuration;
  if (engine.engine !== 'redis') throw new Error('no Redis to measure');
  const cache = openViewCacheRedis(engine);
  const app = store.app.id;
  const conversations = Array.from({ length: CONVERSATIONS }, () => hex(16));
  const generation = await views.generation();
  const from = performance.now();
  for (const changes of changesOf(app, conversations)) await views.apply(generation, changes);
  const loadedPerSecond = Math.round((MESSAGES / (performance.now() - from)) * 1_000);
  const steps = MESSAGES / CONVERSATIONS;
  const places = (seed: number): Place[] =>
    Array.from({ length: READS }, (_, i) => {
      const step = (i * 7_919 + seed * 104_729) % steps;
      const before = position(FROM_MS + step * STEP_MS, 'f'.repeat(32));
      return { conversation: conversations[(i * 31 + seed) % CONVERSATIONS]!, before };
    });
  const index = new HmacKey(Buffer.alloc(32, 8));
  const keys = { indexKey: async () => index };
  const pages = {
    views: createPageReader({ views: reader, cache: openViewCacheMemory(0), keys }),
    redis: createPageReader({ views: reader, cache, keys }),
  };
  const read = (way: keyof typeof pages) => (at: Place) =>
    pages[way].page({ app, conversation: at.conversation }, { before: at.before, limit: PAGE });
  const rounds = { views: [] as Timing[], redis: [] as Timing[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    const these = places(round);
    rounds.views.push(await timeReads(read('views'), these));
    // Once to fill it, once to be measured.
    await timeReads(read('redis'), these);
    rounds.redis.push(await timeReads(read('redis'), these));
  }
  const counts = { ...cache.counts };
  await cache.close();
  await store.remove();
  const of = (way: keyof typeof rounds, what: keyof Timing) =>
    Math.round(median(rounds[way].map((one) => one[what])) * 100) / 100;
  return {
    messages: MESSAGES,
    loadedPerSecond,
    fromViews: { p50Ms: of('views', 'p50Ms'), p99Ms: of('views', 'p99Ms') },
    fromCache: { p50Ms: of('redis', 'p50Ms'), p99Ms: of('redis', 'p99Ms') },
    cacheHits: counts.hits,
    cacheMisses: counts.misses,
  };
}

type Timing = Awaited<ReturnType<typeof timeReads>>;
