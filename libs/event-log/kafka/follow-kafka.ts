/**
 * Following the log as a member of a consumer group. An offset is committed only after what lies
 * before it was handled; what a member loses in a rebalance is handled again by the next one. A
 * member that hears nothing from the cluster any more ends itself, and whoever follows begins anew.
 */
import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { LetheError } from '../../base/lethe-error.ts';
import type { FollowOptions, PlacedRecord } from '../event-log.ts';
import { logUnreachable } from './kafka-client.ts';
import { toPlaced } from './kafka-reader.ts';

const CHUNK_RECORDS = 1_000;
const PARTITIONS_AT_ONCE = 4;
const SESSION_MS = 15_000;
const HEARTBEAT_MS = 2_000;
const SILENT_MS_MAX = 60_000;
const LOOK_MS = 250;
const METADATA_AGE_MS = 5_000;
const FETCH_BYTES = 2 * 1024 * 1024;

/** Follows until the signal ends it. Throws LOG_UNREACHABLE, or what handling threw. */
export async function followKafka(
  kafka: Kafka,
  at: { topic: string; groupId: string },
  options: FollowOptions,
): Promise<void> {
  const consumer = kafka.consumer({
    groupId: at.groupId,
    sessionTimeout: SESSION_MS,
    heartbeatInterval: HEARTBEAT_MS,
    metadataMaxAge: METADATA_AGE_MS,
    allowAutoTopicCreation: false,
    // As the log is read: Lethe writes no transactions, and those of others hold nothing up.
    readUncommitted: true,
    maxBytesPerPartition: FETCH_BYTES,
    maxWaitTimeInMs: LOOK_MS,
    retry: { retries: 3, restartOnFailure: async () => false },
  });
  const member = new GroupMember(consumer, at.topic, options);
  try {
    await consumer.connect();
    await consumer.subscribe({ topic: at.topic, fromBeginning: true });
    await member.run();
  } catch (error) {
    throw member.failure ?? logUnreachable(error);
  } finally {
    await consumer.disconnect().catch(() => undefined);
  }
}

class GroupMember {
  readonly #consumer: Consumer;
  readonly #topic: string;
  readonly #options: FollowOptions;
  failure: unknown;
  #heardAtMs = performance.now();
  #handledAtMs = 0;
  readonly #running = new Set<Promise<void>>();
  #end: () => void = () => undefined;

  constructor(consumer: Consumer, topic: string, options: FollowOptions) {
    this.#consumer = consumer;
    this.#topic = topic;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    const { events } = this.#consumer;
    const heard = () => {
      this.#heardAtMs = performance.now();
    };
    this.#consumer.on(events.HEARTBEAT, heard);
    this.#consumer.on(events.FETCH, heard);
    this.#consumer.on(events.CRASH, ({ payload }) => this.#fail(logUnreachable(payload.error)));
    const ended = new Promise<void>((resolve) => {
      this.#end = resolve;
    });
    const watch = setInterval(() => this.#look(), LOOK_MS);
    const stop = () => this.#end();
    signal.addEventListener('abort', stop);
    try {
      await this.#consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
        eachBatch: async (batch) => {
          const running = this.#handleBatch(batch);
          this.#running.add(running);
          await running.finally(() => this.#running.delete(running));
        },
      });
      if (signal.aborted) this.#end();
      await ended;
      // What was handled is committed before the member leaves.
      await Promise.allSettled(this.#running);
      await this.#consumer.stop();
    } finally {
      clearInterval(watch);
      signal.removeEventListener('abort', stop);
    }
    if (this.failure !== undefined) throw this.failure;
  }

  async #handleBatch({ batch, heartbeat, isRunning, isStale, resolveOffset }: EachBatchPayload) {
    const { partition } = batch;
    const records = batch.messages.map((message): PlacedRecord => {
      const trace = message.headers?.traceparent;
      return { ...toPlaced(partition, message), ...(trace && { trace: String(trace) }) };
    });
    for (let at = 0; at < records.length; at += CHUNK_RECORDS) {
      if (!isRunning() || isStale() || this.#isEnding()) return;
      const chunk = records.slice(at, at + CHUNK_RECORDS);
      try {
        await this.#options.handle(chunk);
      } catch (error) {
        this.#fail(error);
        return;
      }
      const { offset } = chunk.at(-1)!;
      resolveOffset(String(offset));
      this.#handledAtMs = performance.now();
      const done = { topic: this.#topic, partition, offset: String(offset + 1) };
      await this.#consumer.commitOffsets([done]);
      await heartbeat();
    }
  }

  #isEnding(): boolean {
    return this.failure !== undefined || this.#options.signal.aborted;
  }

  #look(): void {
    const nowMs = performance.now();
    if (nowMs - this.#heardAtMs > SILENT_MS_MAX) {
      const text = 'Kafka: nothing was heard from the cluster';
      this.#fail(new LetheError('LOG_UNREACHABLE', text, { retryable: true }));
    } else if (nowMs - this.#handledAtMs > LOOK_MS) this.#options.caughtUp?.();
  }

  #fail(error: unknown): void {
    this.failure ??= error;
    this.#end();
  }
}
