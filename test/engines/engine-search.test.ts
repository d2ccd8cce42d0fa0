import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, it } from 'vitest';
import { CassandraDatabase } from '../../libs/engines/cassandra-database.ts';
import { type CassandraEngine, readRedisUrl } from '../../libs/engines/engine-urls.ts';
import { filesBelow, searchFiles } from '../../services/operations/disk-search.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, profile, reacted, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { groupOf, recordsOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('search of the engines', figures));

const [WORDS, NAME, PHONE, EMAIL, ROOM] = [
  'the kestrel waits above the seventh lantern',
  'Odile Marrow-Whitethorn',
  '+49-30-5550-9876-54',
  'odile.marrow@example.org',
  'room-of-the-seventh-lantern',
] as const;
const CONTROL = 'a control that must be found in the commit log';
/** How long the commit log may hold back what it was given. */
const COMMIT_LOG_SYNC_MS = 11_000;
const ATTEMPTS_MAX = 4;

/**
 * All files, at a moment when the commit log holds what was written last: a control says so. It
 * does not while Cassandra has just moved its contents to tables, which are compressed.
 */
async function searchableFiles(folder: string, vault: CassandraEngine): Promise<string[]> {
  const database = new CassandraDatabase(vault, 'VAULT_UNREACHABLE', 'quorum');
  await database.define('CREATE TABLE IF NOT EXISTS planted (one int PRIMARY KEY, text text)');
  try {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      await database.run('INSERT INTO planted (one, text) VALUES (?, ?)', attempt, CONTROL);
      await sleep(COMMIT_LOG_SYNC_MS);
      const files = filesBelow(folder);
      const found = searchFiles(files, [CONTROL]).map(({ file }) => file);
      if (found.some((file) => file.includes('commitlog'))) return files;
    }
  } finally {
    await database.close();
  }
  throw new Error('what was planted was not found');
}

/** Redis writes all it holds to disk, not compressed; how many of its keys are pages. */
async function dumpRedis(): Promise<number> {
  const { host, port } = readRedisUrl(JSON.parse(process.env.TEST_ENGINES!).LETHE_CACHE)!;
  const redis = new Redis({ host, port });
  try {
    await expect.poll(() => redis.keys('*:pages:*')).not.toEqual([]);
    await redis.config('SET', 'rdbcompression', 'no');
    await redis.save();
    return (await redis.keys('*:pages:*')).length;
  } finally {
    redis.disconnect();
  }
}

describe('a search of everything that the engines have on disk', () => {
  it('finds no name, identity or word in the files of Kafka, Cassandra, Redis, KMS or their logs', async () => {
    const folder = process.env.TEST_ENGINES_FOLDER!;
    const store = await openTestStore();
    const { vault } = store.configuration;
    if (vault.engine !== 'cassandra') throw new Error('this runs on servers');
    const conversation = { type: 'sdkGroup', externalId: ROOM };
    await store.deliver(
      received(PHONE, WORDS, { displayName: NAME, conversation, id: 'a' }),
      received(PHONE, WORDS, { conversation: PERSONAL }),
      profile(PHONE, { email: EMAIL, givenName: NAME }),
      reacted(PHONE, 'a', '🦅', { conversation }),
    );
    // Read once, so that the pages lie in the cache.
    expect(await textsOf(store, await groupOf(store, ROOM))).toEqual([WORDS]);
    const dumped = await dumpRedis();
    const subject = await subjectOf(store, PHONE);
    const { status } = await createPrivacy(store.backends.privacy()).eraseSubject(
      store.app.id,
      subject,
    );
    expect(status).toBe('done');
    // What is planted on purpose is found: the search reads what the engine wrote last.
    const files = await searchableFiles(folder, vault);
    const planted = [WORDS, NAME, PHONE, EMAIL, ROOM];
    const hits = searchFiles(files, planted);
    expect(hits).toEqual([]);
    // Kafka's segments are compressed: their records are looked at one by one.
    let records = 0;
    for await (const { key, value } of recordsOf(store)) {
      records += 1;
      for (const text of planted) expect(key.includes(text) || value.includes(text)).toBe(false);
    }
    // Tables are flushed in their own time, system.paxos too: all that is in them is in the commit
    // log first, which is not compressed.
    for (const kind of ['commitlog', 'kafka-1', 'cassandra-1', 'kms', 'dump.rdb']) {
      expect(
        files.some((file) => file.includes(kind)),
        kind,
      ).toBe(true);
    }
    figures.files = files.length;
    expect(records).toBeGreaterThan(4);
    figures.records = records;
    figures.hits = hits.length;
    figures.pagesInRedis = dumped;
  });
});
