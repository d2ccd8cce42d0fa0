import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import { afterAll, describe, expect, it } from 'vitest';
import { readKafkaUrl } from '../../libs/engines/engine-urls.ts';
import { isTombstone, type PlacedRecord } from '../../libs/event-log/event-log.ts';
import { openEventLogKafka } from '../../libs/event-log/kafka/event-log-kafka.ts';
import { createKafka } from '../../libs/event-log/kafka/kafka-client.ts';
import { makeTopics, removeTopics, topicOf } from '../../libs/event-log/kafka/kafka-topic.ts';
import { engines } from '../contract/engines.ts';
import { recordFigures } from '../support/figures.ts';

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('removal from Kafka', figures));

// The settings of a topic let an hour pass; here the cleaner is to come at once.
const SOON = {
  'segment.ms': '1000',
  'max.compaction.lag.ms': '1000',
  'min.cleanable.dirty.ratio': '0.001',
};

async function openTopic(name: string) {
  const settings = `prefix=${name}&partitions=1&replication=1`;
  const engine = readKafkaUrl(`${engines!.LETHE_LOG!.split('?')[0]}?${settings}`)!;
  const kafka = createKafka(engine);
  await makeTopics(kafka, engine);
  const alter = async (changes: Record<string, string>) => {
    const admin = kafka.admin();
    await admin.connect();
    const configEntries = Object.entries(changes).map(([name, value]) => ({ name, value }));
    const type = kafkajs.ConfigResourceTypes.TOPIC;
    const resources = [{ type, name: topicOf(engine), configEntries }];
    await admin.alterConfigs({ validateOnly: false, resources });
    await admin.disconnect();
  };
  return { kafka, engine, alter, log: await openEventLogKafka(engine) };
}

const record = (text: string) => ({ key: randomBytes(42), value: Buffer.from(text) });

describe('what is removed from the log in Kafka', () => {
  it('is gone for who reads the topic from offset 0, once it is compacted; the rest is as it was', async () => {
    const { kafka, engine, alter, log } = await openTopic(`removed${Date.now() % 100_000}`);
    const texts = Array.from({ length: 40 }, (_, i) => `record ${i}`);
    const positions = await log.append(texts.map(record));
    await log.remove(positions.filter((_, i) => i % 2 === 0));
    await alter({ 'cleanup.policy': 'compact', ...SOON });
    const left = async () => {
      const found: PlacedRecord[] = [];
      for (let from = 0; ; from = found.at(-1)!.offset + 1) {
        const records = await log.read(0, from, 1_000);
        if (records.length === 0) return found;
        found.push(...records);
      }
    };
    const began = performance.now();
    let there: PlacedRecord[] = [];
    do {
      // A segment is closed by the record that comes after its time.
      await sleep(1_200);
      await log.append([record('filler')]);
      there = await left();
    } while (
      there.some(({ offset }) => offset % 2 === 0 && offset < 40) &&
      performance.now() - began < 90_000
    );
    const values = there.filter((one) => !isTombstone(one)).map(({ value }) => value.toString());
    const kept = texts.filter((_, i) => i % 2 === 1);
    expect(values.filter((text) => text !== 'filler')).toEqual(kept);
    figures.compactedAfterMs = Math.round(performance.now() - began);
    await log.close();
    await removeTopics(kafka, engine);
  });

  it('is refused where the topic would end records by age, naming the command that mends it', async () => {
    const { kafka, engine, alter, log } = await openTopic(`aged${Date.now() % 100_000}`);
    await log.close();
    await alter({ 'cleanup.policy': 'delete' });
    await expect(openEventLogKafka(engine)).rejects.toMatchObject({
      code: 'CONFIGURATION_INVALID',
      message: expect.stringMatching(/kafka-configs\.sh .*--add-config cleanup\.policy=compact/),
    });
    await removeTopics(kafka, engine);
  });
});
