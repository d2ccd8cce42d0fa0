/**
 * Dead letters in a compacted Kafka topic of one partition, for whatever watches topics. Key:
 * `partition:offset` of the record in the log's topic; value: JSON {partition, offset, reason}.
 */
import type { Kafka } from 'kafkajs';
import type { DeadLetter, DeadLetters } from '../dead-letters.ts';
import { SharedCluster } from './kafka-cluster.ts';
import { KafkaReader } from './kafka-reader.ts';
import { KafkaWriter } from './kafka-writer.ts';

const PARTITION = 0;
const PAGE_RECORDS = 1_000;
const EMPTY = Buffer.alloc(0);

/** Opens the topic that `lethe migrate` made; it is connected to when it is needed. */
export function openDeadLettersKafka(
  kafka: Kafka,
  topic: string,
): DeadLetters & { close(): Promise<void> } {
  const writer = new KafkaWriter(kafka, topic);
  const cluster = new SharedCluster(kafka, topic);
  const reader = new KafkaReader(cluster, topic);
  return {
    async keep(letters) {
      const records = letters.map((letter) => {
        const { partition, offset, reason } = letter;
        const value = Buffer.from(JSON.stringify({ partition, offset, reason }));
        return { key: keyOf(letter), value };
      });
      if (records.length > 0) await writer.append(PARTITION, records);
    },
    async list() {
      const kept = new Map<string, DeadLetter>();
      // From the first one each time: they are few, and the topic may have been made anew.
      for (let next = 0; ; ) {
        const records = await reader.read(PARTITION, next, PAGE_RECORDS);
        for (const { key, value, offset } of records) {
          const letter = toDeadLetter(value);
          if (letter === undefined) kept.delete(key.toString());
          else kept.set(key.toString(), letter);
          next = offset + 1;
        }
        if (records.length === 0) break;
      }
      return [...kept.values()].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
    },
    async drop(places) {
      const records = places.map((place) => ({ key: keyOf(place), value: EMPTY }));
      if (records.length > 0) await writer.append(PARTITION, records);
    },
    async close() {
      await Promise.all([writer.close(), cluster.close()]);
    },
  };
}

function keyOf({ partition, offset }: Omit<DeadLetter, 'reason'>): Buffer {
  return Buffer.from(`${partition}:${offset}`);
}

/** Undefined: it was taken out, or is no reference that was written here. */
function toDeadLetter(value: Buffer): DeadLetter | undefined {
  try {
    const { partition, offset, reason } = JSON.parse(value.toString()) as DeadLetter;
    if (!Number.isSafeInteger(partition) || !Number.isSafeInteger(offset)) return undefined;
    return { partition, offset, reason: String(reason) };
  } catch {
    return undefined;
  }
}
