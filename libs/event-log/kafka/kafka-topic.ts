/** The topics of the log: how they are made, and what of them must never be otherwise. */

import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { DAY_MS } from '../../base/day.ts';
import { LetheError } from '../../base/lethe-error.ts';
import type { KafkaEngine } from '../../engines/engine-urls.ts';
import { logUnreachable } from './kafka-client.ts';

/** An hour from a tombstone to its effect, at most: the reclaim's promise. */
const COMPACTION_LAG_MS = 3_600_000;
const SEGMENT_MS = 3_600_000;
const KNOWN_MS_MAX = 20_000;
const MISSING_MS = 3_000;
const KNOWN_LOOK_MS = 100;
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

/** The name of the topic of events. */
export function topicOf({ prefix }: KafkaEngine): string {
  return `${prefix}.events`;
}

/** The name of the topic of references to what could not be projected. */
export function deadLetterTopicOf({ prefix }: KafkaEngine): string {
  return `${prefix}.dead-letters`;
}

function topicsOf(engine: KafkaEngine): string[] {
  return [topicOf(engine), deadLetterTopicOf(engine)];
}

/** What the topics are made with. */
function settingsOf({ replication }: KafkaEngine): Record<string, string> {
  return {
    // A rebuild reads the log from its first record: nothing may leave it by age or size.
    'cleanup.policy': 'compact',
    'max.compaction.lag.ms': String(COMPACTION_LAG_MS),
    'min.cleanable.dirty.ratio': '0.01',
    'segment.ms': String(SEGMENT_MS),
    'delete.retention.ms': String(DAY_MS),
    'min.insync.replicas': String(replication >= 3 ? 2 : 1),
    'max.message.bytes': String(MESSAGE_BYTES_MAX),
  };
}

/** Makes the topics unless they are there, and checks them. Throws CONFIGURATION_INVALID. */
export async function makeTopics(kafka: Kafka, engine: KafkaEngine): Promise<string[]> {
  return withAdmin(kafka, async (admin) => {
    const configEntries = Object.entries(settingsOf(engine)).map(([name, value]) => {
      return { name, value };
    });
    const { partitions, replication: replicationFactor } = engine;
    const made: string[] = [];
    for (const topic of topicsOf(engine)) {
      const numPartitions = topic === topicOf(engine) ? partitions : 1;
      const topics = [{ topic, numPartitions, replicationFactor, configEntries }];
      if (await admin.createTopics({ topics, waitForLeaders: false })) made.push(topic);
      await untilKnown(() => checkTopic(admin, engine, topic));
    }
    return made;
  });
}

/** A broker that has not heard yet of a topic that was just made is asked again. */
async function untilKnown<Found>(look: () => Promise<Found>): Promise<Found> {
  for (const until = performance.now() + KNOWN_MS_MAX; ; ) {
    try {
      return await look();
    } catch (error) {
      if (error instanceof LetheError || performance.now() > until) throw error;
      await sleep(KNOWN_LOOK_MS);
    }
  }
}

async function checkTopic(admin: Admin, engine: KafkaEngine, topic: string): Promise<void> {
  await checkSettings(admin, engine, topic);
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const partitions = topics[0]?.partitions ?? [];
  if (partitions.length > 0 && partitions.every(({ leader }) => leader >= 0)) return;
  throw new Error('a partition has no leader yet');
}

/**
 * How many partitions the topic of events has. Throws CONFIGURATION_INVALID: a topic is missing or
 * set wrongly, or has fewer than `partitions` says. Those beyond that stay empty: a stream must not
 * move to another because somebody has added some.
 */
export async function checkTopics(kafka: Kafka, engine: KafkaEngine): Promise<number> {
  return withAdmin(kafka, async (admin) => {
    const missing = await findMissing(admin, engine);
    if (missing.length > 0) {
      const text = `LETHE_LOG: the topic ${missing[0]} is not there: run lethe migrate`;
      throw new LetheError('CONFIGURATION_INVALID', text);
    }
    for (const topic of topicsOf(engine)) {
      await untilKnown(() => checkSettings(admin, engine, topic));
    }
    return untilKnown(async () => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topicOf(engine)] });
      const count = topics[0]!.partitions.length;
      if (count < engine.partitions) throw tooFew(engine, count);
      return count;
    });
  });
}

function tooFew(engine: KafkaEngine, count: number): LetheError {
  const text =
    `LETHE_LOG: the topic ${topicOf(engine)} has ${count} partitions, fewer than partitions=` +
    `${engine.partitions}: write partitions=${count} if it was made with as many`;
  return new LetheError('CONFIGURATION_INVALID', text);
}

/** What was changed of the topics since, in words. */
export async function findChanges(kafka: Kafka, engine: KafkaEngine): Promise<string[]> {
  try {
    const count = await checkTopics(kafka, engine);
    const more = count - engine.partitions;
    return more === 0 ? [] : [`${topicOf(engine)} has ${more} partitions more: they are not used`];
  } catch (error) {
    if (error instanceof LetheError && !error.retryable) return [error.message];
    throw error;
  }
}

/** Topics that are not there, also when they are looked for some time: see `untilKnown`. */
async function findMissing(admin: Admin, engine: KafkaEngine): Promise<string[]> {
  for (const until = performance.now() + MISSING_MS; ; ) {
    const there = await admin.listTopics();
    const missing = topicsOf(engine).filter((topic) => !there.includes(topic));
    if (missing.length === 0 || performance.now() > until) return missing;
    await sleep(KNOWN_LOOK_MS);
  }
}

/** Removes the topics with all their records. */
export async function removeTopics(kafka: Kafka, engine: KafkaEngine): Promise<void> {
  await withAdmin(kafka, async (admin) => {
    const there = await admin.listTopics();
    const topics = topicsOf(engine).filter((topic) => there.includes(topic));
    await admin.deleteTopics({ topics });
  });
}

async function checkSettings(admin: Admin, engine: KafkaEngine, topic: string): Promise<void> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }],
  });
  const found = new Map(
    resources[0]!.configEntries.map(({ configName, configValue }) => [configName, configValue]),
  );
  const wrong = (name: string, isRight: (value: string) => boolean) => {
    const value = found.get(name) ?? '';
    if (isRight(value)) return;
    const wanted = settingsOf(engine)[name];
    const mend =
      `kafka-configs.sh --bootstrap-server ${engine.brokers[0]} --alter --entity-type topics ` +
      `--entity-name ${topic} --add-config ${name}=${wanted}`;
    const text = `LETHE_LOG: the topic ${topic} has ${name}=${value}; mend it by: ${mend}`;
    throw new LetheError('CONFIGURATION_INVALID', text);
  };
  wrong('cleanup.policy', (value) => value === 'compact');
  wrong('max.compaction.lag.ms', (value) => Number(value) <= 7 * DAY_MS);
  wrong('min.insync.replicas', (value) => Number(value) >= (engine.replication >= 3 ? 2 : 1));
}

async function withAdmin<Result>(kafka: Kafka, work: (admin: Admin) => Promise<Result>) {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await work(admin);
  } catch (error) {
    throw logUnreachable(error);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
