/**
 * Hot pages in Redis: one hash a conversation, whose fields are pages and begin with their version.
 * Whatever Redis does, answers stay the same: a call that fails or takes too long is a miss, and
 * for a while nobody asks again.
 */
import { once } from 'node:events';
import { Redis } from 'ioredis';
import type { RedisEngine } from '../../../engines/engine-urls.ts';
import { readTlsFiles } from '../../../engines/tls-files.ts';
import { PAGE_BYTES_MAX, PAGE_TTL_MS, type PageKey, type ViewCache } from '../view-cache.ts';

/** Slower than this, the views themselves are asked. */
const ANSWER_MS = 50;
const CONNECT_MS = 2_000;
const REST_MS = 1_000;
/** A conversation that is read page by page does not fill the cache alone. */
const PAGES_A_CONVERSATION_MAX = 64;
const PUTS_AT_ONCE_MAX = 32;
const KEYS_A_SCAN = 500;

/** More than the version of a page and the code before it. */
const HEAD_BYTES_MAX = 1_024;
/** Who writes there what is longer than any page costs nobody its memory. */
const GET_PAGE = `
  if redis.call('HSTRLEN', KEYS[1], ARGV[1]) > tonumber(ARGV[2]) then return false end
  return redis.call('HGET', KEYS[1], ARGV[1])`;

/** What ioredis makes of the script. */
interface PagesOfRedis extends Redis {
  pageBuffer(name: string, page: string, bytesMax: number): Promise<Buffer | null>;
}

/** Opens the cache; Redis need not be there, now or later. */
export function openViewCacheRedis(engine: RedisEngine): ViewCache {
  return new RedisPages(engine);
}

/** Removes every page under the engine's prefix. */
export async function removePagesRedis(engine: RedisEngine): Promise<void> {
  const pages = new RedisPages(engine);
  await pages.connected();
  await pages.dropMatching('*');
  await pages.close();
}

class RedisPages implements ViewCache {
  readonly pageBytesMax = PAGE_BYTES_MAX;
  readonly counts = { hits: 0, misses: 0, failures: 0 };
  readonly #redis: PagesOfRedis;
  readonly #prefix: string;
  #restsUntilMs = 0;
  #puts = 0;

  constructor(engine: RedisEngine) {
    const { host, port, username, password, tls } = engine;
    this.#prefix = `${engine.prefix}:pages`;
    this.#redis = new Redis({
      host,
      port,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(tls && { tls: { rejectUnauthorized: true, ...readTlsFiles(tls) } }),
      connectTimeout: CONNECT_MS,
      commandTimeout: ANSWER_MS,
      // Nothing waits for a connection, and nothing is sent twice.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => REST_MS,
      scripts: { page: { lua: GET_PAGE, numberOfKeys: 1, readOnly: true } },
    }) as PagesOfRedis;
    // What is lost reaches callers as misses; unheard, the event would end the process.
    this.#redis.on('error', () => undefined);
  }

  async get(key: PageKey): Promise<Buffer | undefined> {
    const kept = await this.#attempt(() => {
      return this.#redis.pageBuffer(this.#keyOf(key), key.page, PAGE_BYTES_MAX + HEAD_BYTES_MAX);
    });
    const page = kept ? readKept(kept, key.version) : undefined;
    this.counts[page ? 'hits' : 'misses'] += 1;
    return page;
  }

  async put(key: PageKey, page: Buffer): Promise<void> {
    if (page.length > PAGE_BYTES_MAX || this.#puts >= PUTS_AT_ONCE_MAX) return;
    this.#puts += 1;
    const name = this.#keyOf(key);
    await this.#attempt(async () => {
      const kept = Buffer.concat([Buffer.from(`${key.version}\n`), page]);
      const answers = await this.#redis
        .pipeline()
        .hset(name, key.page, kept)
        // From the first page on: what is put there later does not keep it longer.
        .pexpire(name, PAGE_TTL_MS, 'NX')
        .hlen(name)
        .exec();
      const failed = answers?.find(([error]) => error !== null)?.[0];
      if (failed) throw failed;
      if (Number(answers?.[2]?.[1]) > PAGES_A_CONVERSATION_MAX) await this.#redis.unlink(name);
    });
    this.#puts -= 1;
  }

  async drop(app: string, conversations: readonly string[] | 'all'): Promise<void> {
    if (conversations === 'all') return this.dropMatching(`${app}:*`);
    const names = conversations.map((conversation) => this.#keyOf({ app, conversation }));
    if (names.length > 0) await this.#attempt(() => this.#redis.unlink(...names));
  }

  /** Drops what lies under names that match. */
  async dropMatching(names: string): Promise<void> {
    const match = `${this.#prefix}:${names}`;
    let cursor: string | undefined = '0';
    do {
      const from: string = cursor;
      cursor = await this.#attempt(async () => {
        const [next, names] = await this.#redis.scan(from, 'MATCH', match, 'COUNT', KEYS_A_SCAN);
        if (names.length > 0) await this.#redis.unlink(...names);
        return next;
      });
    } while (cursor !== undefined && cursor !== '0');
  }

  /** Waits for a first connection, as long as one may take; without one all is as before. */
  async connected(): Promise<void> {
    if (this.#redis.status === 'ready') return;
    await once(this.#redis, 'ready', { signal: AbortSignal.timeout(CONNECT_MS) }).catch(() => {});
  }

  async close(): Promise<void> {
    this.#redis.disconnect();
  }

  #keyOf({ app, conversation }: Pick<PageKey, 'app' | 'conversation'>): string {
    return `${this.#prefix}:${app}:${conversation}`;
  }

  // After a failure the cache is left alone for a while: no answer waits for it again and again.
  async #attempt<Result>(work: () => Promise<Result>): Promise<Result | undefined> {
    if (performance.now() < this.#restsUntilMs) return undefined;
    try {
      return await work();
    } catch {
      this.counts.failures += 1;
      this.#restsUntilMs = performance.now() + REST_MS;
      return undefined;
    }
  }
}

/** The page behind its version; undefined: it is of another version. */
function readKept(kept: Buffer, version: string): Buffer | undefined {
  const end = kept.indexOf('\n');
  return kept.toString('latin1', 0, end) === version ? kept.subarray(end + 1) : undefined;
}
