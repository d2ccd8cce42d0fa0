import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readKafkaUrl } from '../../libs/engines/engine-urls.ts';
import {
  type KafkaEventLog,
  openEventLogKafka,
} from '../../libs/event-log/kafka/event-log-kafka.ts';
import { createKafka } from '../../libs/event-log/kafka/kafka-client.ts';
import { makeTopics, topicOf } from '../../libs/event-log/kafka/kafka-topic.ts';
import { type KafkaServer, startKafka } from '../servers/kafka-server.ts';
import { isRunning, type ServerProcess, stopProcesses } from '../servers/server-process.ts';
import { recordFigures } from '../support/figures.ts';

const PARTITIONS = 6;
const WRITERS = 8;
const NODES = 3;
const EMPTY = Buffer.alloc(0);

const folder = mkdtempSync(join(tmpdir(), 'lethe-kafka-'));
const figures: Record<string, unknown> = {};
let server: KafkaServer;
let nodes: ServerProcess[];
beforeAll(async () => {
  server = await startKafka(folder, NODES);
  nodes = [...server.processes];
});
afterAll(async () => {
  await stopProcesses(nodes);
  rmSync(folder, { recursive: true, force: true });
  recordFigures('Kafka, three nodes', figures);
});

/** A topic of its own for each drill. */
async function openLog(prefix: string) {
  const settings = `prefix=${prefix}&partitions=${PARTITIONS}&replication=3`;
  const engine = readKafkaUrl(`kafka://${server.brokers.join(',')}?${settings}`)!;
  await makeTopics(createKafka(engine), engine);
  return { engine, log: await openEventLogKafka(engine) };
}

interface Load {
  /** Texts whose append was acknowledged. */
  readonly acknowledged: Set<string>;
  readonly refused: number;
  stop(): Promise<void>;
}

/** Appends without pause from several writers, in batches that span partitions. */
function load(log: KafkaEventLog): Load {
  const acknowledged = new Set<string>();
  let isOver = false;
  let [sent, refused] = [0, 0];
  const writer = async () => {
    while (!isOver) {
      const batch = Array.from({ length: 20 }, () => {
        sent += 1;
        return { key: randomBytes(42), value: Buffer.from(`record ${sent}`) };
      });
      try {
        await log.append(batch);
        for (const { value } of batch) acknowledged.add(value.toString());
      } catch {
        refused += batch.length;
      }
    }
  };
  const running = Promise.all(Array.from({ length: WRITERS }, writer));
  return {
    acknowledged,
    get refused() {
      return refused;
    },
    async stop() {
      isOver = true;
      await running;
    },
  };
}

/** Everything on the topic, from offset 0. */
async function readAll(log: KafkaEventLog): Promise<string[]> {
  const texts: string[] = [];
  const ends = await log.endOffsets();
  for (const [partition, end] of ends.entries()) {
    for (let from = 0; from < end; ) {
      const records = await log.read(partition, from, 10_000);
      texts.push(...records.map((one) => one.value.toString()));
      from = records.at(-1)!.offset + 1;
    }
  }
  return texts;
}

async function leaderOf(prefix: string, partition: number): Promise<number> {
  const engine = readKafkaUrl(`kafka://${server.brokers.join(',')}?prefix=${prefix}`)!;
  const admin = createKafka(engine).admin();
  await admin.connect();
  const { topics } = await admin.fetchTopicMetadata({ topics: [topicOf(engine)] });
  await admin.disconnect();
  return topics[0]!.partitions.find((one) => one.partitionId === partition)!.leader - 1;
}

describe('the log on three Kafka nodes', () => {
  it('is opened as soon as its topics were made, whichever broker is asked', async () => {
    for (let n = 0; n < 15; n += 1) await (await openLog(`new-${n}`)).log.close();
    const engine = readKafkaUrl(`kafka://${server.brokers.join(',')}?prefix=none&replication=3`)!;
    await expect(openEventLogKafka(engine)).rejects.toThrow('run lethe migrate');
  });

  it('leaves no connection behind when it is closed: the process that had it open can end', async () => {
    const sockets = () =>
      process.getActiveResourcesInfo().filter((one) => one === 'TCPSocketWrap').length;
    const before = sockets();
    const { engine, log } = await openLog('closed');
    await log.append(Array.from({ length: 60 }, () => ({ key: randomBytes(42), value: EMPTY })));
    // Opened once more, it looks at all partitions at once.
    const again = await openEventLogKafka(engine);
    const reads = Array.from({ length: PARTITIONS }, (_, n) => again.read(n, 0, 10));
    await Promise.all(reads);
    for (const one of [log, again]) await one.close();
    await expect.poll(sockets, { timeout: 10_000 }).toBeLessThanOrEqual(before);
  });

  it('loses nothing that it acknowledged when leaders are killed under load, five times', async () => {
    const { log } = await openLog('killed');
    const under = load(log);
    for (let kill = 0; kill < 5; kill += 1) {
      await sleep(1_500);
      const leader = await leaderOf('killed', kill % PARTITIONS);
      const victim = nodes[leader]!;
      process.kill(victim.pid, 'SIGKILL');
      while (isRunning(victim)) await sleep(50);
      await sleep(2_000);
      nodes[leader] = await server.restart(leader);
      await sleep(2_000);
    }
    await under.stop();
    const texts = await readAll(log);
    const there = new Set(texts);
    const lost = [...under.acknowledged].filter((text) => !there.has(text));
    figures['kill -9 of leaders'] = {
      kills: 5,
      acknowledged: under.acknowledged.size,
      refused: under.refused,
      onTheLog: texts.length,
      lost: lost.length,
    };
    expect(under.acknowledged.size).toBeGreaterThan(1_000);
    expect(lost).toEqual([]);
    await log.close();
  });

  it('waits for a paused broker, or goes round it, and loses nothing', async () => {
    const { log } = await openLog('paused');
    const under = load(log);
    await sleep(1_000);
    const leader = await leaderOf('paused', 0);
    process.kill(nodes[leader]!.pid, 'SIGSTOP');
    await sleep(12_000);
    process.kill(nodes[leader]!.pid, 'SIGCONT');
    await sleep(4_000);
    const before = under.acknowledged.size;
    await sleep(2_000);
    await under.stop();
    expect(under.acknowledged.size).toBeGreaterThan(before);
    const there = new Set(await readAll(log));
    const lost = [...under.acknowledged].filter((text) => !there.has(text));
    figures['paused broker'] = {
      acknowledged: under.acknowledged.size,
      refused: under.refused,
      lost: lost.length,
    };
    expect(lost).toEqual([]);
    await log.close();
  });
});
