/**
 * The low-level cluster inside kafkajs 2.2.4. It reads from an offset, and sets checkpoints from
 * outside a group. kafkajs has no public call for the first, and one that takes five seconds for
 * the second.
 */
import type { Kafka } from 'kafkajs';
import { LetheError } from '../../base/lethe-error.ts';
import { logUnreachable } from './kafka-client.ts';

const METADATA_AGE_MS = 5_000;
const WAIT_MS = 100;
const ATTEMPTS_MAX = 5;

/** A message as kafkajs decodes it. */
export interface FetchedMessage {
  readonly offset: string;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, unknown>>;
}

interface FetchedPartition {
  readonly highWatermark: string;
  readonly messages: readonly FetchedMessage[];
}

interface Broker {
  fetch(request: object): Promise<{ responses: { partitions: FetchedPartition[] }[] }>;
  offsetCommit(request: object): Promise<unknown>;
  offsetFetch(request: object): Promise<{
    responses: { partitions: { partition: number; offset: string }[] }[];
  }>;
}

/** The part of kafkajs's cluster that is used. */
export interface KafkaCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  refreshMetadata(): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: number[]): Record<string, number[]>;
  findGroupCoordinator(of: { groupId: string }): Promise<Broker>;
  findBroker(of: { nodeId: string }): Promise<Broker>;
}

/** One connection to the cluster for one topic, made when it is needed and anew after a failure. */
export class SharedCluster {
  readonly #kafka: Kafka;
  readonly #topic: string;
  #cluster: Promise<KafkaCluster> | undefined;

  constructor(kafka: Kafka, topic: string) {
    this.#kafka = kafka;
    this.#topic = topic;
  }

  /** Runs work that can be repeated, some times with newer metadata. Throws LOG_UNREACHABLE. */
  async use<Result>(work: (cluster: KafkaCluster) => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      const cluster = await this.#connected();
      try {
        return await work(cluster);
      } catch (error) {
        if (attempt === ATTEMPTS_MAX) throw logUnreachable(error);
        await new Promise((resolve) => setTimeout(resolve, WAIT_MS * 2 ** attempt));
        await cluster.refreshMetadata().catch(() => this.#drop(cluster));
      }
    }
  }

  async close(): Promise<void> {
    const cluster = await this.#cluster?.catch(() => undefined);
    await cluster?.disconnect().catch(() => undefined);
  }

  #connected(): Promise<KafkaCluster> {
    this.#cluster ??= this.#connect().catch((error: unknown) => {
      this.#cluster = undefined;
      throw logUnreachable(error);
    });
    return this.#cluster;
  }

  async #connect(): Promise<KafkaCluster> {
    const cluster = createCluster(this.#kafka);
    await cluster.connect();
    await cluster.addTargetTopic(this.#topic);
    return cluster;
  }

  #drop(cluster: KafkaCluster): void {
    this.#cluster = undefined;
    void cluster.disconnect().catch(() => undefined);
  }
}

/** A group's next offset of each partition; 0 where it has none. */
export async function fetchFromOutside(
  cluster: KafkaCluster,
  { topic, groupId }: { topic: string; groupId: string },
  partitions: number,
): Promise<number[]> {
  const all = Array.from({ length: partitions }, (_, partition) => ({ partition }));
  const coordinator = await cluster.findGroupCoordinator({ groupId });
  const wanted = { groupId, topics: [{ topic, partitions: all }] };
  const { responses } = await coordinator.offsetFetch(wanted);
  const next = new Array<number>(partitions).fill(0);
  for (const { partition, offset } of responses[0]?.partitions ?? []) {
    next[partition] = Math.max(0, Number(offset));
  }
  return next;
}

/** Sets a group's next offsets as one who is no member; refused while it has members. */
export async function commitFromOutside(
  cluster: KafkaCluster,
  { topic, groupId }: { topic: string; groupId: string },
  next: readonly number[],
): Promise<void> {
  const partitions = next.map((offset, partition) => ({ partition, offset: String(offset) }));
  const outside = { groupGenerationId: -1, memberId: '', retentionTime: -1 };
  const coordinator = await cluster.findGroupCoordinator({ groupId });
  await coordinator.offsetCommit({ groupId, ...outside, topics: [{ topic, partitions }] });
}

/** kafkajs's own cluster, which it keeps behind a symbol. */
export function createCluster(kafka: Kafka): KafkaCluster {
  const name = 'private:Kafka:createCluster';
  const symbol = Object.getOwnPropertySymbols(kafka).find((one) => one.description === name);
  const create =
    symbol && (kafka as unknown as Record<symbol, (of: object) => KafkaCluster>)[symbol];
  if (create === undefined) throw new LetheError('INVARIANT_BROKEN', 'kafkajs is not 2.2.4');
  return create({ metadataMaxAge: METADATA_AGE_MS, allowAutoTopicCreation: false });
}
