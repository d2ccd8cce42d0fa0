/**
 * Appending to Kafka without ever acknowledging what is not there. kafkajs can resolve a send that
 * spans partitions although one of them was not written. Its idempotent producer can take a new
 * batch for a repeated one.
 *
 * So the producer is a plain one, and waits for all replicas. A send holds one partition, and one
 * send is in flight a partition. The result is checked. After any failure there is a new producer,
 * and the same records once more. Records may lie twice on the log; none that was acknowledged is
 * missing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs, { type Kafka, type Producer } from 'kafkajs';
import { LetheError } from '../../base/lethe-error.ts';
import { inSpan } from '../../engines/tracing.ts';
import type { LogRecord } from '../event-log.ts';
import { logUnreachable } from './kafka-client.ts';

/** The header that holds a record's code. */
const CODE_HEADER = 'code';

const SEND_RECORDS_MAX = 2_000;
const SEND_BYTES_MAX = 900_000;
const GIVE_UP_MS = 30_000;
const RETRY_MS = 100;
const RETRY_MS_MAX = 2_000;
const ALL_REPLICAS = -1;
const METADATA_AGE_MS = 5_000;

/** The code among a record's headers, whoever wrote them. */
export function codeIn(headers: Readonly<Record<string, unknown>> | undefined): Buffer | undefined {
  const code = headers?.[CODE_HEADER];
  return Buffer.isBuffer(code) ? code : undefined;
}

interface Waiting {
  readonly records: readonly LogRecord[];
  resolve(offsets: number[]): void;
  reject(error: unknown): void;
}

/** A producer with the sends that use it: it is disconnected when the last one has ended. */
interface SharedProducer {
  readonly producer: Producer;
  readonly connected: Promise<void>;
  users: number;
  isDiscarded: boolean;
}

/** Appends to one topic. */
export class KafkaWriter {
  readonly #kafka: Kafka;
  readonly #topic: string;
  readonly #waiting = new Map<number, Waiting[]>();
  readonly #busy = new Set<number>();
  #shared: SharedProducer | undefined;
  #isClosed = false;

  constructor(kafka: Kafka, topic: string) {
    this.#kafka = kafka;
    this.#topic = topic;
  }

  /** Appends records to a partition, durably; their offsets. Throws LOG_UNREACHABLE. */
  append(partition: number, records: readonly LogRecord[]): Promise<number[]> {
    return new Promise((resolve, reject) => {
      const queue = this.#waiting.get(partition) ?? [];
      queue.push({ records, resolve, reject });
      this.#waiting.set(partition, queue);
      void this.#drain(partition);
    });
  }

  /** Ends the connection; what waits is refused. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const shared = this.#shared;
    this.#shared = undefined;
    await shared?.producer.disconnect().catch(() => undefined);
  }

  async #drain(partition: number): Promise<void> {
    if (this.#busy.has(partition)) return;
    this.#busy.add(partition);
    const queue = this.#waiting.get(partition)!;
    while (queue.length > 0) {
      const batch = takeBatch(queue);
      try {
        const offsets = await this.#send(
          partition,
          batch.flatMap((one) => one.records),
        );
        let at = 0;
        for (const one of batch) {
          one.resolve(offsets.slice(at, at + one.records.length));
          at += one.records.length;
        }
      } catch (error) {
        for (const one of batch) one.reject(error);
      }
    }
    this.#busy.delete(partition);
  }

  async #send(partition: number, records: readonly LogRecord[]): Promise<number[]> {
    const deadline = performance.now() + GIVE_UP_MS;
    for (let attempt = 0; ; attempt += 1) {
      const shared = this.#acquire();
      try {
        await shared.connected;
        return await this.#sendOnce(shared.producer, partition, records);
      } catch (error) {
        this.#discard(shared);
        if (this.#isClosed || performance.now() > deadline) throw logUnreachable(error);
        const waitMs = Math.min(RETRY_MS * 2 ** attempt, RETRY_MS_MAX);
        await sleep(waitMs * (0.5 + Math.random() / 2));
      } finally {
        this.#release(shared);
      }
    }
  }

  async #sendOnce(producer: Producer, partition: number, records: readonly LogRecord[]) {
    const messages = records.map(({ key, value, trace, code }) => ({
      key,
      value: value.length === 0 ? null : value,
      partition,
      headers: { ...(trace && { traceparent: trace }), ...(code && { [CODE_HEADER]: code }) },
    }));
    const to = {
      topic: this.#topic,
      acks: ALL_REPLICAS,
      compression: kafkajs.CompressionTypes.ZSTD,
      messages,
    };
    const attributes = { 'lethe.records': records.length, 'lethe.partition': partition };
    const span = { kind: 'producer', attributes } as const;
    const results = await inSpan('log append', span, () => producer.send(to));
    const [result] = results;
    const isWritten = results.length === 1 && result!.partition === partition;
    if (!isWritten || result!.errorCode !== 0 || result!.baseOffset === undefined) {
      throw new LetheError('LOG_UNREACHABLE', 'Kafka did not say that a partition was written', {
        retryable: true,
      });
    }
    const base = Number(result!.baseOffset);
    return records.map((_, i) => base + i);
  }

  #acquire(): SharedProducer {
    if (this.#shared === undefined) {
      const producer = this.#kafka.producer({
        idempotent: false,
        allowAutoTopicCreation: false,
        metadataMaxAge: METADATA_AGE_MS,
        retry: { retries: 0 },
        createPartitioner: () => (of) => of.message.partition!,
      });
      const connected = producer.connect();
      connected.catch(() => undefined);
      this.#shared = { producer, connected, users: 0, isDiscarded: false };
    }
    this.#shared.users += 1;
    return this.#shared;
  }

  #discard(shared: SharedProducer): void {
    shared.isDiscarded = true;
    if (this.#shared === shared) this.#shared = undefined;
  }

  #release(shared: SharedProducer): void {
    shared.users -= 1;
    if (shared.isDiscarded && shared.users === 0) {
      void shared.producer.disconnect().catch(() => undefined);
    }
  }
}

/** What waits, up to the bounds of one send; at least the first. */
function takeBatch(queue: Waiting[]): Waiting[] {
  let [count, size] = [0, 0];
  let end = 0;
  for (const { records } of queue) {
    count += records.length;
    for (const { key, value } of records) size += key.length + value.length;
    if (end > 0 && (count > SEND_RECORDS_MAX || size > SEND_BYTES_MAX)) break;
    end += 1;
  }
  return queue.splice(0, end);
}
