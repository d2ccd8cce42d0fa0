/** Reading a Kafka partition from an offset, without a group. */
import type { PlacedRecord } from '../event-log.ts';
import type { FetchedMessage, KafkaCluster, SharedCluster } from './kafka-cluster.ts';
import { codeIn } from './kafka-writer.ts';

const FETCH_BYTES = 4 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);

/** A record as kafkajs gives it, whoever wrote it. */
export function toPlaced(
  partition: number,
  { offset, key, value, headers }: FetchedMessage,
): PlacedRecord {
  const code = codeIn(headers);
  return { partition, offset: Number(offset), key: key ?? EMPTY, value: value ?? EMPTY, code };
}

/** Reads one topic. */
export class KafkaReader {
  readonly #cluster: SharedCluster;
  readonly #topic: string;
  /** What was fetched beyond a page: a batch of many records is decoded once. */
  #left: readonly PlacedRecord[] = [];
  /** Where each partition ended, as far as anybody was told. */
  readonly #ends = new Map<number, number>();

  constructor(cluster: SharedCluster, topic: string) {
    this.#cluster = cluster;
    this.#topic = topic;
  }

  /** Somebody was told that a partition ends here: until then nobody is told less. */
  noteEnd(partition: number, end: number): void {
    this.#ends.set(partition, Math.max(end, this.#ends.get(partition) ?? 0));
  }

  /**
   * Records from an offset on, at most `limit`. Where compaction has taken everything up to the
   * end, a tombstone stands at the last offset. Throws LOG_UNREACHABLE.
   */
  async read(partition: number, from: number, limit: number): Promise<PlacedRecord[]> {
    const left = this.#left;
    this.#left = [];
    if (left[0]?.partition === partition && left[0].offset === from) return this.#page(left, limit);
    for (let offset = from; ; offset += 1) {
      const fetch = (cluster: KafkaCluster) => this.#fetch(cluster, partition, offset);
      const { records, end } = await this.#cluster.use(fetch);
      if (records.length > 0) return this.#page(records, limit);
      if (offset >= end) {
        return from < end ? [{ partition, offset: end - 1, key: EMPTY, value: EMPTY }] : [];
      }
    }
  }

  #page(records: readonly PlacedRecord[], limit: number): PlacedRecord[] {
    this.#left = records.slice(limit);
    return records.slice(0, limit);
  }

  async #fetch(cluster: KafkaCluster, partition: number, from: number) {
    const leaders = cluster.findLeaderForPartitions(this.#topic, [partition]);
    const broker = await cluster.findBroker({ nodeId: Object.keys(leaders)[0]! });
    const wanted = { partition, fetchOffset: from, maxBytes: FETCH_BYTES };
    const { responses } = await broker.fetch({
      maxWaitTime: 0,
      minBytes: 0,
      maxBytes: FETCH_BYTES,
      isolationLevel: 0,
      topics: [{ topic: this.#topic, partitions: [wanted] }],
    });
    const found = responses[0]!.partitions[0]!;
    const records: PlacedRecord[] = found.messages
      // A compressed batch is sent whole, also when it begins before what was asked for.
      .filter(({ offset }) => Number(offset) >= from)
      .map((message) => toPlaced(partition, message));
    const end = Number(found.highWatermark);
    // A leader that was elected lately may not know yet how far its partition is on all replicas.
    const told = this.#ends.get(partition) ?? 0;
    if (records.length === 0 && from < told && end < told) throw new Error('EndBehind');
    this.noteEnd(partition, end);
    return { records, end };
  }
}
