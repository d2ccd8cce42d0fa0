/** The engines that the contract suites run on beside the embedded ones, if they were started. */
import { onTestFinished, vi } from 'vitest';
import type { BlobStore } from '../../libs/blobs/blob-store.ts';
import { openBlobStoreS3 } from '../../libs/blobs/s3/blob-store-s3.ts';
import { CassandraDatabase } from '../../libs/engines/cassandra-database.ts';
import { type CassandraSchema, migrateKeyspace } from '../../libs/engines/cassandra-migrations.ts';
import {
  readAwsKmsUrl,
  readCassandraUrl,
  readKafkaUrl,
  readRedisUrl,
  readS3Url,
} from '../../libs/engines/engine-urls.ts';
import type { EventLog } from '../../libs/event-log/event-log.ts';
import { openEventLogKafka } from '../../libs/event-log/kafka/event-log-kafka.ts';
import { createKafka } from '../../libs/event-log/kafka/kafka-client.ts';
import { makeTopics } from '../../libs/event-log/kafka/kafka-topic.ts';
import { openRootKmsAws } from '../../libs/vault/keys/aws/root-kms-aws.ts';
import type { RootKms } from '../../libs/vault/keys/root-kms.ts';
import { openViewCacheRedis } from '../../libs/views/cache/redis/view-cache-redis.ts';
import type { ViewCache } from '../../libs/views/cache/view-cache.ts';
import { S3_BUCKET } from '../servers/s3-server.ts';

/** The variables of the servers that `test:engines` started; undefined in `npm test`. */
export const engines: Readonly<Record<string, string>> | undefined = process.env.TEST_ENGINES
  ? JSON.parse(process.env.TEST_ENGINES)
  : undefined;

const keyspaces = new Map<string, Promise<string>>();

/** Opens a keyspace of its own for each folder, as another process would each time. */
export function cassandra<Port>(
  schemas: readonly CassandraSchema[],
  open: (database: CassandraDatabase) => Port,
): [string, (folder: string) => Promise<Port>][] {
  if (engines === undefined) return [];
  const url = new URL(engines.LETHE_VAULT!.replace(/^cassandra/, 'http'));
  const engineOf = (keyspace: string) => {
    return readCassandraUrl(`cassandra://${url.host}/${keyspace}${url.search}`)!;
  };
  const made = async (folder: string) => {
    const name = `t${nameOf(folder)}${keyspaces.size}`;
    await migrateKeyspace(engineOf(name), 'STATE_UNREACHABLE', schemas);
    return name;
  };
  return [
    [
      'cassandra',
      async (folder) => {
        if (!keyspaces.has(folder)) keyspaces.set(folder, made(folder));
        const engine = engineOf(await keyspaces.get(folder)!);
        const database = new CassandraDatabase(engine, 'STATE_UNREACHABLE', 'quorum');
        onTestFinished(async () => {
          await database.define(`DROP KEYSPACE IF EXISTS ${engine.keyspace}`);
          await database.close();
        });
        return open(database);
      },
    ],
  ];
}

/** A topic of its own for each folder. */
export function kafka(partitions: number): [string, (folder: string) => Promise<EventLog>][] {
  if (engines === undefined) return [];
  return [
    [
      'kafka',
      async (folder) => {
        const prefix = `t-${nameOf(folder)}`;
        const settings = `prefix=${prefix}&partitions=${partitions}&replication=1`;
        const engine = readKafkaUrl(`${engines.LETHE_LOG!.split('?')[0]}?${settings}`)!;
        await makeTopics(createKafka(engine), engine);
        const log = await openEventLogKafka(engine);
        onTestFinished(() => log.close());
        return log;
      },
    ],
  ];
}

/** The bucket of the S3 server, under a prefix of its own for each folder. */
export function s3(): [string, (folder: string) => BlobStore][] {
  if (engines === undefined) return [];
  const endpoint = encodeURIComponent(engines.AWS_ENDPOINT_URL_S3!);
  const at = (folder: string) => `s3://${S3_BUCKET}/${nameOf(folder)}?endpoint=${endpoint}`;
  return [['s3', (folder) => openBlobStoreS3(readS3Url(at(folder))!)]];
}

/** Redis, under a prefix of its own for each folder. */
export function redis(): [string, (folder: string) => Promise<ViewCache>][] {
  if (engines === undefined) return [];
  return [
    [
      'redis',
      async (folder) => {
        const url = `${engines.LETHE_CACHE}?prefix=t${nameOf(folder)}`;
        const cache = openViewCacheRedis(readRedisUrl(url)!);
        onTestFinished(() => cache.close());
        await untilAnswers(cache);
        return cache;
      },
    ],
  ];
}

/** A cache that is not connected yet keeps nothing, which is no failure of it. */
async function untilAnswers(cache: ViewCache): Promise<void> {
  const key = { app: 'a', conversation: 'c', version: '1', page: 'p' };
  await vi.waitUntil(
    async () => {
      await cache.put(key, Buffer.from('there'));
      return cache.get(key);
    },
    { timeout: 10_000 },
  );
}

function nameOf(folder: string): string {
  return folder.split('-').at(-1)!.toLowerCase();
}

/** The KMS; its keys end with it. */
export function awsKms(): [string, (folder: string) => RootKms][] {
  if (engines === undefined) return [];
  return [['aws', () => openRootKmsAws(readAwsKmsUrl(engines.LETHE_KMS!)!)]];
}
