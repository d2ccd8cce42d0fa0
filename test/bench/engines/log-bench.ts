/**
 * The log port against bare kafkajs under the same rules: values of 1 KB, batches of 500 over all
 * partitions, acks of all replicas, zstd, one partition a send and one send in flight a partition,
 * the result checked. Reading: as a member of a group of its own, from the first record on.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { streamToPartition } from '../../../libs/codec/event-record.ts';
import { readKafkaUrl } from '../../../libs/engines/engine-urls.ts';
import { openEventLogKafka } from '../../../libs/event-log/kafka/event-log-kafka.ts';
import { createKafka } from '../../../libs/event-log/kafka/kafka-client.ts';
import { makeTopics, removeTopics, topicOf } from '../../../libs/event-log/kafka/kafka-topic.ts';
import { median } from '../statistics.ts';
import { BareReader, BareWriter } from './bare-kafka.ts';

const BATCHES = 80;
const BATCH = 500;
const VALUE_BYTES = 1_024;
const IN_FLIGHT = 4;
const ROUNDS = 5;
const KEY_BYTES = 42;

interface Value {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Keys of random streams; the values cannot be compressed, as sealed ones cannot. */
function makeBatches(): Value[][] {
  return Array.from({ length: BATCHES }, () =>
    Array.from({ length: BATCH }, () => ({
      key: randomBytes(KEY_BYTES),
      value: randomBytes(VALUE_BYTES),
    })),
  );
}

/** Appends all batches, some at a time; records a second. */
async function timeAppends(
  batches: readonly Value[][],
  append: (batch: readonly Value[]) => Promise<unknown>,
): Promise<number> {
  const started = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < batches.length) await append(batches[next++]!);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return (BATCHES * BATCH) / ((performance.now() - started) / 1_000);
}

/** Ratios of the port to the bare client, and the port's rates. */
export async function benchLog(servers: Readonly<Record<string, string>>) {
  const base = servers.LETHE_LOG!.split('?')[0]!;
  const replication = new URLSearchParams(servers.LETHE_LOG!.split('?')[1]).get('replication');
  const rounds: { appended: [number, number]; read: [number, number] }[] = [];
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    const url = `${base}?prefix=bench-${process.pid}-${round}&replication=${replication}`;
    const engine = readKafkaUrl(url)!;
    const kafka = createKafka(engine);
    await makeTopics(kafka, engine);
    const log = await openEventLogKafka(engine);
    const topic = topicOf(engine);
    const bare = new BareWriter(kafka, topic, (key) => streamToPartition(key, log.partitions));
    await bare.connect();
    const batches = makeBatches();
    await log.append(batches[0]!.slice(0, 1));
    await untilGroupsLoaded(log);
    // Who goes first in one round goes second in the next.
    const own = () => timeAppends(batches, (batch) => log.append(batch));
    const other = () => timeAppends(batches, (batch) => bare.append(batch));
    const appended = await inTurn(round, own, other);
    const ends = await log.endOffsets();
    const total = ends.reduce((sum, end) => sum + end, 0);
    const read = await inTurn(
      round,
      () => timeFollowing(log, total),
      () => new BareReader(kafka, topic).timeReading(total),
    );
    await bare.close();
    await log.close();
    await removeTopics(kafka, engine);
    // The first round warms both up.
    if (round > 0) rounds.push({ appended, read });
  }
  const ratio = (of: 'appended' | 'read') => median(rounds.map((one) => one[of][0] / one[of][1]));
  const rate = (of: 'appended' | 'read') => Math.round(median(rounds.map((one) => one[of][0])));
  return {
    appendedOfBare: ratio('appended'),
    readOfBare: ratio('read'),
    appendedPerSecond: rate('appended'),
    readPerSecond: rate('read'),
  };
}

/** A cluster that is new makes its topic of offsets when it is first asked for a group. */
async function untilGroupsLoaded(log: Awaited<ReturnType<typeof openEventLogKafka>>) {
  const group = `bench-${randomBytes(4).toString('hex')}`;
  const next = new Array<number>(log.partitions).fill(0);
  for (let attempt = 0; attempt < 30; attempt += 1) {
    const isDone = await log.saveCheckpoints(group, next).then(
      () => true,
      () => false,
    );
    if (isDone) return;
    await sleep(500);
  }
}

async function inTurn<Result>(
  round: number,
  own: () => Promise<Result>,
  other: () => Promise<Result>,
): Promise<[own: Result, other: Result]> {
  if (round % 2 === 0) return [await own(), await other()];
  const second = await other();
  return [await own(), second];
}

/** Records a second from the first to the last, without the time it takes to join the group. */
async function timeFollowing(
  log: Awaited<ReturnType<typeof openEventLogKafka>>,
  total: number,
): Promise<number> {
  const stop = new AbortController();
  let [seen, firstMs, lastMs] = [0, 0, 0];
  await log.follow({
    group: `bench-${randomBytes(4).toString('hex')}`,
    signal: stop.signal,
    async handle(records) {
      if (seen === 0) firstMs = performance.now();
      seen += records.length;
      if (seen < total) return;
      lastMs = performance.now();
      stop.abort();
    },
  });
  return total / ((lastMs - firstMs) / 1_000);
}
