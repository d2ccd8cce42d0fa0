import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { readRedisUrl } from '../../libs/engines/engine-urls.ts';
import { openViewCacheRedis } from '../../libs/views/cache/redis/view-cache-redis.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { removePages } from '../../libs/wiring/open-engines.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { type RedisServer, startRedis } from '../servers/redis-server.ts';
import { isRunning, stopProcesses } from '../servers/server-process.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { defaultConversationOf, subjectOf, textsOf } from '../support/reading.ts';
import {
  embeddedVariables,
  openConfigured,
  type TestStore,
  temporaryFolder,
} from '../support/temporary-store.ts';

const LOGIN = { username: 'lethe', password: 'p@ss:word/1' };
const PEOPLE = Array.from({ length: 8 }, (_, i) => `person-${i}`);
const MESSAGES = 30;
const ANSWER_MS_MAX = 250;

const folder = mkdtempSync(join(tmpdir(), 'lethe-redis-'));
const figures: Record<string, unknown> = {};
let server: RedisServer;
let store: TestStore;
/** The same store without a cache. */
let bare: TestStore;
let written = 0;

const words = (name: string) => {
  written += 1;
  return received(name, `words ${written} of ${name}`, { conversation: PERSONAL });
};

beforeAll(async () => {
  server = await startRedis(folder, { memory: '4mb', policy: 'noeviction' });
  const variables = embeddedVariables(folder);
  const cached = { ...variables, LETHE_CACHE: `redis://127.0.0.1:${server.port}` };
  store = await openConfigured(readConfiguration(cached), folder);
  const backends = await openBackends(
    readConfiguration({ ...variables, LETHE_CACHE: 'memory:0mb' }),
  );
  bare = { ...store, backends };
  for (let i = 0; i < MESSAGES; i += 1) await store.deliver(...PEOPLE.map(words));
});

afterAll(async () => {
  await store?.ingest.close();
  await store?.backends.close();
  await bare?.backends.close();
  await stopProcesses([server.process]);
  rmSync(folder, { recursive: true, force: true });
  recordFigures('Redis faults', figures);
});

/** Writes, and reads every conversation with the cache and without; the slowest answer in ms. */
async function sameAnswers(rounds: number): Promise<number> {
  let slowestMs = 0;
  for (let round = 0; round < rounds; round += 1) {
    await store.deliver(words(PEOPLE[round % PEOPLE.length]!));
    for (const name of PEOPLE) {
      const conversation = await defaultConversationOf(store, name);
      const from = performance.now();
      const texts = await textsOf(store, conversation);
      slowestMs = Math.max(slowestMs, performance.now() - from);
      expect(texts).toEqual(await textsOf(bare, conversation));
    }
  }
  return Math.round(slowestMs);
}

async function redisDoes<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
  const redis = new Redis({ host: '127.0.0.1', port: server.port });
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

const pagesThere = () => redisDoes((redis) => redis.keys('*'));

describe('answers while Redis', () => {
  it('works, are the same as without it, and pages come from it', async () => {
    figures.healthyMs = await sameAnswers(4);
    expect((await pagesThere()).length).toBeGreaterThan(0);
  });

  it('is flushed under load are the same', async () => {
    for (let i = 0; i < 5; i += 1) {
      await redisDoes((redis) => redis.flushall());
      figures.flushedMs = await sameAnswers(1);
    }
  });

  it('is paused are the same, and hardly later', async () => {
    process.kill(server.process.pid, 'SIGSTOP');
    try {
      figures.pausedMs = await sameAnswers(4);
      expect(figures.pausedMs).toBeLessThan(ANSWER_MS_MAX);
    } finally {
      process.kill(server.process.pid, 'SIGCONT');
    }
  });

  it('holds what somebody without a key has written there are the same', async () => {
    await sameAnswers(PEOPLE.length);
    const fieldsOf = (redis: Redis, name: string) => redis.hgetallBuffer(name);
    const attacks: Record<string, (redis: Redis, names: string[]) => Promise<unknown>> = {
      'pages of one conversation in place of another’s': async (redis, names) => {
        const all = await Promise.all(names.map((name) => fieldsOf(redis, name)));
        for (const [i, name] of names.entries()) {
          const other = all[(i + 1) % names.length]!;
          for (const field of Object.keys(all[i]!)) {
            const own = all[i]![field]!;
            const version = own.subarray(0, own.indexOf('\n'));
            const page = Object.values(other)[0]!;
            const moved = Buffer.concat([version, page.subarray(page.indexOf('\n'))]);
            await redis.hset(name, field, moved);
          }
        }
      },
      'an old page under a new version': async (redis, names) => {
        const before = await Promise.all(names.map((name) => fieldsOf(redis, name)));
        await store.deliver(...PEOPLE.map(words));
        for (const name of PEOPLE) await textsOf(store, await defaultConversationOf(store, name));
        for (const [i, name] of names.entries()) {
          const now = await fieldsOf(redis, name);
          for (const [field, page] of Object.entries(now)) {
            const old = before[i]![field];
            if (old === undefined) continue;
            const version = page.subarray(0, page.indexOf('\n'));
            const moved = Buffer.concat([version, old.subarray(old.indexOf('\n'))]);
            await redis.hset(name, field, moved);
          }
        }
      },
      'pages cut off, emptied, or changed in a byte': async (redis, names) => {
        for (const [i, name] of names.entries()) {
          for (const [field, page] of Object.entries(await fieldsOf(redis, name))) {
            const head = page.indexOf('\n') + 1;
            const changed = Buffer.from(page);
            changed[page.length - 1 - i]! ^= 1;
            const cuts = [page.subarray(0, head), page.subarray(0, -40), changed];
            await redis.hset(name, field, cuts[i % 3]!);
          }
        }
      },
      'other types, and values that are longer than any page': async (redis, names) => {
        const [first, ...others] = names;
        const long = Buffer.alloc(600_000, 1);
        for (const field of Object.keys(await fieldsOf(redis, first!))) {
          await redis.hset(first!, field, long);
        }
        for (const name of others) {
          await redis.del(name);
          await redis.set(name, 'text');
        }
      },
    };
    for (const [what, attack] of Object.entries(attacks)) {
      await sleep(1_200);
      for (const name of PEOPLE) await textsOf(store, await defaultConversationOf(store, name));
      const names = await pagesThere();
      expect(names.length, what).toBeGreaterThan(2);
      await redisDoes((redis) => attack(redis, names));
      for (const name of PEOPLE) {
        const conversation = await defaultConversationOf(store, name);
        expect(await textsOf(store, conversation), what).toEqual(await textsOf(bare, conversation));
      }
      await redisDoes((redis) => redis.flushall());
    }
  });

  it('is full are the same', async () => {
    const block = Buffer.alloc(64 * 1024);
    const fill = async (redis: Redis) => {
      for (let i = 0; i < 1_000; i += 1) await redis.set(`fill ${i}`, block);
    };
    await expect(redisDoes(fill)).rejects.toThrow('OOM');
    figures.fullMs = await sameAnswers(4);
    await redisDoes((redis) => redis.flushall());
  });

  it('is killed are the same, and pages come from it again when it is back', async () => {
    process.kill(server.process.pid, 'SIGKILL');
    while (isRunning(server.process)) await sleep(20);
    figures.killedMs = await sameAnswers(4);
    expect(figures.killedMs).toBeLessThan(ANSWER_MS_MAX);
    server = await startRedis(folder, { port: server.port });
    await expect.poll(() => sameAnswers(1).then(pagesThere), { timeout: 20_000 }).not.toEqual([]);
  });
});

describe('Redis itself', () => {
  it('holds no words, no names, and no page of a person who was erased', async () => {
    await sameAnswers(1);
    const [erased] = PEOPLE as [string];
    const conversation = await defaultConversationOf(store, erased);
    const dump = await redisDoes(async (redis) => {
      const keys = await redis.keys('*');
      return Promise.all(keys.map(async (key) => [key, await redis.hgetallBuffer(key)] as const));
    });
    expect(dump.some(([key]) => key.includes(conversation))).toBe(true);
    for (const [key, fields] of dump) {
      const bytes = Buffer.concat([Buffer.from(key), ...Object.values(fields)]).toString('latin1');
      expect(bytes).not.toMatch(/words|person-/);
    }
    const subject = await subjectOf(store, erased);
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.eraseSubject(store.app.id, subject);
    expect((await pagesThere()).filter((key) => key.includes(conversation))).toEqual([]);
    PEOPLE.shift();
  });

  it('is emptied of a store by a process that has just started, as a restore does', async () => {
    await sameAnswers(1);
    expect(await pagesThere()).not.toEqual([]);
    await removePages(store.configuration);
    expect(await pagesThere()).toEqual([]);
  });

  it('is used with TLS and a login; a wrong password or certificate costs the cache, not the answers', async () => {
    const secure = await startRedis(temporaryFolder(), { login: LOGIN });
    onTestFinished(() => stopProcesses([secure.process]));
    const { port, caFile } = secure.secure!;
    const keeps = async (password: string, tls: string) => {
      const login = `${LOGIN.username}:${encodeURIComponent(password)}`;
      const cache = openViewCacheRedis(
        readRedisUrl(`redis://${login}@127.0.0.1:${port}?tls=${tls}`)!,
      );
      const key = { app: 'a', conversation: 'c', version: '1', page: 'p' };
      for (let attempt = 0; attempt < 3; attempt += 1) {
        await sleep(1_100);
        await cache.put(key, Buffer.from('page'));
      }
      const kept = await cache.get(key);
      await cache.close();
      return kept?.toString();
    };
    expect(await keeps(LOGIN.password, caFile)).toBe('page');
    expect(await keeps('wrong', caFile)).toBeUndefined();
    expect(await keeps(LOGIN.password, 'on')).toBeUndefined();
  });
});
