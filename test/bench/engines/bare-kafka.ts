/** kafkajs alone under the rules of our log, as short as they can be kept; to compare with. */
import { randomBytes } from 'node:crypto';
import kafkajs, { type Kafka, type Producer } from 'kafkajs';

const ALL_REPLICAS = -1;
const CHUNK_RECORDS = 1_000;
const AT_ONCE = 4;

interface Value {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** One partition a send, one send in flight a partition. */
export class BareWriter {
  readonly #producer: Producer;
  readonly #topic: string;
  readonly #partitionOf: (key: Buffer) => number;
  readonly #last = new Map<number, Promise<unknown>>();

  constructor(kafka: Kafka, topic: string, partitionOf: (key: Buffer) => number) {
    this.#topic = topic;
    this.#partitionOf = partitionOf;
    this.#producer = kafka.producer({
      idempotent: false,
      createPartitioner: () => (of) => of.message.partition!,
    });
  }

  connect(): Promise<void> {
    return this.#producer.connect();
  }

  async append(batch: readonly Value[]): Promise<void> {
    const parts = Map.groupBy(batch, ({ key }) => this.#partitionOf(key));
    await Promise.all([...parts].map(([partition, own]) => this.#send(partition, own)));
  }

  close(): Promise<void> {
    return this.#producer.disconnect();
  }

  #send(partition: number, own: readonly Value[]): Promise<unknown> {
    const before = this.#last.get(partition) ?? Promise.resolve();
    const sent = before.then(async () => {
      const [result] = await this.#producer.send({
        topic: this.#topic,
        acks: ALL_REPLICAS,
        compression: kafkajs.CompressionTypes.ZSTD,
        messages: own.map(({ key, value }) => ({ key, value, partition })),
      });
      if (result?.partition !== partition || result.errorCode !== 0) throw new Error('not written');
    });
    this.#last.set(partition, sent);
    return sent;
  }
}

/** A member of a new group that reads from the first record on, committing as it goes. */
export class BareReader {
  readonly #kafka: Kafka;
  readonly #topic: string;

  constructor(kafka: Kafka, topic: string) {
    this.#kafka = kafka;
    this.#topic = topic;
  }

  async timeReading(total: number): Promise<number> {
    const topic = this.#topic;
    const groupId = `bare-${randomBytes(4).toString('hex')}`;
    const consumer = this.#kafka.consumer({ groupId, maxWaitTimeInMs: 250 });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    let [seen, firstMs] = [0, 0];
    const lastMs = await new Promise<number>((resolve) => {
      void consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: AT_ONCE,
        eachBatch: async ({ batch, heartbeat, resolveOffset }) => {
          if (seen === 0) firstMs = performance.now();
          for (let at = 0; at < batch.messages.length; at += CHUNK_RECORDS) {
            const { length } = batch.messages.slice(at, at + CHUNK_RECORDS);
            const last = batch.messages[at + length - 1]!.offset;
            resolveOffset(last);
            const offset = String(Number(last) + 1);
            await consumer.commitOffsets([{ topic, partition: batch.partition, offset }]);
            await heartbeat();
            seen += length;
          }
          if (seen >= total) resolve(performance.now());
        },
      });
    });
    await consumer.disconnect();
    return total / ((lastMs - firstMs) / 1_000);
  }
}
