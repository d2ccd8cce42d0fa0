/**
 * The log in one Kafka topic. A record's key begins with its stream, which chooses the partition;
 * removal is a tombstone of the same key, and compaction takes the bytes within its lag.
 */
import type { Admin, Kafka } from 'kafkajs';
import { LetheError } from '../../base/lethe-error.ts';
import { namesStream, streamToPartition } from '../../codec/event-record.ts';
import type { KafkaEngine } from '../../engines/engine-urls.ts';
import {
  type EventLog,
  isTombstone,
  type LogPosition,
  type LogRecord,
  type PlacedRecord,
} from '../event-log.ts';
import { openDeadLettersKafka } from './dead-letters-kafka.ts';
import { followKafka } from './follow-kafka.ts';
import { createKafka, destroySockets, logUnreachable } from './kafka-client.ts';
import { commitFromOutside, fetchFromOutside, SharedCluster } from './kafka-cluster.ts';
import { KafkaReader } from './kafka-reader.ts';
import { checkTopics, deadLetterTopicOf, findChanges, topicOf } from './kafka-topic.ts';
import { KafkaWriter } from './kafka-writer.ts';

const EMPTY = Buffer.alloc(0);
const REMOVAL_PAGE_RECORDS = 500;
const PLACES_LOOKED_AT = 20;

/** A log with connections that have to be closed. */
export interface KafkaEventLog extends EventLog {
  close(): Promise<void>;
}

/** Opens the log that `lethe migrate` made. Throws CONFIGURATION_INVALID, LOG_UNREACHABLE. */
export async function openEventLogKafka(engine: KafkaEngine): Promise<KafkaEventLog> {
  const kafka = createKafka(engine);
  await checkTopics(kafka, engine);
  const { partitions } = engine;
  const topic = topicOf(engine);
  const writer = new KafkaWriter(kafka, topic);
  const cluster = new SharedCluster(kafka, topic);
  const reader = new KafkaReader(cluster, topic);
  try {
    await assertPlaces(reader, engine);
  } catch (error) {
    await cluster.close();
    destroySockets(kafka);
    throw error;
  }
  const deadLetters = openDeadLettersKafka(kafka, deadLetterTopicOf(engine));
  const administration = new SharedAdmin(kafka);
  const groupOf = (group: string) => `${engine.prefix}.${group}`;

  async function append(records: readonly LogRecord[]): Promise<LogPosition[]> {
    const of = records.map(({ key }) => streamToPartition(key, partitions));
    const positions = new Array<LogPosition>(records.length);
    await Promise.all(
      [...new Set(of)].map(async (partition) => {
        const own = [...of.keys()].filter((i) => of[i] === partition);
        const offsets = await writer.append(
          partition,
          own.map((i) => records[i]!),
        );
        for (const [n, i] of own.entries()) positions[i] = { partition, offset: offsets[n]! };
      }),
    );
    return positions;
  }

  return {
    partitions,
    removesLater: true,
    isOpenToOthers: true,
    deadLetters,
    append,
    read: (partition, from, limit) => reader.read(partition, from, limit),
    async remove(positions) {
      const tombstones = await tombstonesOf(reader, positions);
      await Promise.all([...tombstones].map(([partition, own]) => writer.append(partition, own)));
    },
    async endOffsets() {
      const found = await administration.use((admin) => admin.fetchTopicOffsets(topic));
      const ends = new Array<number>(partitions).fill(0);
      for (const { partition, high } of found) {
        if (partition >= partitions) continue;
        ends[partition] = Number(high);
        reader.noteEnd(partition, Number(high));
      }
      return ends;
    },
    async checkpoints(group) {
      const at = { topic, groupId: groupOf(group) };
      return cluster.use((low) => fetchFromOutside(low, at, partitions));
    },
    async saveCheckpoints(group, next) {
      const at = { topic, groupId: groupOf(group) };
      await cluster.use((low) => commitFromOutside(low, at, next));
    },
    follow: (options) => followKafka(kafka, { topic, groupId: groupOf(options.group) }, options),
    async isFollowed(group) {
      const { groups } = await administration.use((admin) => {
        return admin.describeGroups([groupOf(group)]);
      });
      return groups.some(({ members }) => members.length > 0);
    },
    async dropGroup(group) {
      // One that is still followed, or never was, is left to the cluster's own retention.
      await administration
        .use((admin) => admin.deleteGroups([groupOf(group)]))
        .catch(() => undefined);
    },
    unsafeSettings: () => findChanges(kafka, engine),
    async close() {
      const parts = [writer, cluster, administration, deadLetters];
      await Promise.all(parts.map((part) => part.close()));
      destroySockets(kafka);
    },
  };
}

/**
 * A topic that was made with another number of partitions holds streams elsewhere than they are
 * looked for. Throws CONFIGURATION_INVALID where most records that are looked at say so: few may
 * have been put there by somebody.
 */
async function assertPlaces(reader: KafkaReader, engine: KafkaEngine): Promise<void> {
  const { partitions } = engine;
  const records: PlacedRecord[] = [];
  for (let partition = 0; partition < partitions; partition += 1) {
    const found = await reader.read(partition, 0, PLACES_LOOKED_AT);
    records.push(...found.filter(({ key }) => namesStream(key)));
  }
  const isThere = ({ key, partition }: PlacedRecord) =>
    streamToPartition(key, partitions) === partition;
  if (2 * records.filter(isThere).length >= records.length) return;
  const text =
    `LETHE_LOG: records of ${topicOf(engine)} do not lie where partitions=${partitions} has ` +
    'them: name the number that the topic was made with';
  throw new LetheError('CONFIGURATION_INVALID', text);
}

/** What removes the records at these positions, by partition: where they lie, there it works. */
async function tombstonesOf(
  reader: KafkaReader,
  positions: readonly LogPosition[],
): Promise<Map<number, LogRecord[]>> {
  const tombstones = new Map<number, LogRecord[]>();
  for (const [partition, own] of Map.groupBy(positions, (one) => one.partition)) {
    const offsets = own.map((one) => one.offset).sort((a, b) => a - b);
    // A fetch brings many records: each serves all positions that lie in it.
    let page: PlacedRecord[] = [];
    const here: LogRecord[] = [];
    for (const offset of offsets) {
      const isBehind = offset > (page.at(-1)?.offset ?? -1);
      if (isBehind) page = await reader.read(partition, offset, REMOVAL_PAGE_RECORDS);
      const record = page.find((one) => one.offset === offset);
      // What is not there any more, or is a tombstone, needs none.
      if (record === undefined || isTombstone(record)) continue;
      here.push({ key: record.key, value: EMPTY });
    }
    if (here.length > 0) tombstones.set(partition, here);
  }
  return tombstones;
}

/** One connection for administration, made anew after a failure. */
class SharedAdmin {
  readonly #kafka: Kafka;
  #admin: Promise<Admin> | undefined;

  constructor(kafka: Kafka) {
    this.#kafka = kafka;
  }

  async use<Result>(work: (admin: Admin) => Promise<Result>): Promise<Result> {
    this.#admin ??= this.#connect();
    const connecting = this.#admin;
    try {
      return await work(await connecting);
    } catch (error) {
      if (this.#admin === connecting) this.#admin = undefined;
      void connecting.then((admin) => admin.disconnect()).catch(() => undefined);
      throw logUnreachable(error);
    }
  }

  async close(): Promise<void> {
    const admin = await this.#admin?.catch(() => undefined);
    await admin?.disconnect().catch(() => undefined);
  }

  async #connect(): Promise<Admin> {
    const admin = this.#kafka.admin();
    await admin.connect();
    return admin;
  }
}
