/** Reading a Kafka partition from an offset, without a group. */
import type { PlacedRecord } from '../event-log.ts';
import type { KafkaCluster, SharedCluster } from './kafka-cluster.ts';

const FETCH_BYTES = 4 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);
/** Of no version: whoever projects it makes a dead letter of its place. */
const UNREADABLE = Buffer.of(0);

/** Reads one topic. */
export class KafkaReader {
  readonly #cluster: SharedCluster;
  readonly #topic: string;

  constructor(cluster: SharedCluster, topic: string) {
    this.#cluster = cluster;
    this.#topic = topic;
  }

  /**
   * Records from an offset on, at most `limit`. Where compaction has taken everything up to the
   * end, a tombstone stands at the last offset. Throws LOG_UNREACHABLE.
   */
  async read(partition: number, from: number, limit: number): Promise<PlacedRecord[]> {
    for (let offset = from; ; offset += 1) {
      const fetch = (cluster: KafkaCluster) => this.#fetch(cluster, partition, offset);
      const { records, end } = await this.#cluster.use(fetch);
      if (records.length > 0) return records.slice(0, limit);
      if (offset >= end) {
        return from < end ? [{ partition, offset: end - 1, key: EMPTY, value: EMPTY }] : [];
      }
    }
  }

  /** What cannot be decompressed stands as one record that nobody can read, at each offset. */
  async #fetch(cluster: KafkaCluster, partition: number, from: number) {
    try {
      return await this.#fetchBytes(cluster, { partition, from, bytes: FETCH_BYTES });
    } catch (error) {
      if (!isUndecodable(error)) throw error;
    }
    try {
      // The first batch alone: the one that failed may lie behind it.
      return await this.#fetchBytes(cluster, { partition, from, bytes: 1 });
    } catch (error) {
      if (!isUndecodable(error)) throw error;
      const records = [{ partition, offset: from, key: EMPTY, value: UNREADABLE }];
      return { records, end: from + 1 };
    }
  }

  async #fetchBytes(
    cluster: KafkaCluster,
    { partition, from, bytes }: { partition: number; from: number; bytes: number },
  ) {
    const leaders = cluster.findLeaderForPartitions(this.#topic, [partition]);
    const broker = await cluster.findBroker({ nodeId: Object.keys(leaders)[0]! });
    const wanted = { partition, fetchOffset: from, maxBytes: bytes };
    const { responses } = await broker.fetch({
      maxWaitTime: 0,
      minBytes: 0,
      maxBytes: bytes,
      isolationLevel: 0,
      topics: [{ topic: this.#topic, partitions: [wanted] }],
    });
    const found = responses[0]!.partitions[0]!;
    const records: PlacedRecord[] = found.messages
      // A compressed batch is sent whole, also when it begins before what was asked for.
      .filter(({ offset }) => Number(offset) >= from)
      .map(({ offset, key, value }) => ({
        partition,
        offset: Number(offset),
        key: key ?? EMPTY,
        value: value ?? EMPTY,
      }));
    return { records, end: Number(found.highWatermark) };
  }
}

/** Is it about the bytes of a batch, which anybody may have sent, and not about the broker? */
function isUndecodable(error: unknown): boolean {
  const { name = '', code = '' } = error as { name?: string; code?: unknown };
  if (name === 'KafkaJSNotImplemented') return true;
  return typeof code === 'string' && /^(ERR_BUFFER|ERR_OUT_OF_RANGE|ERR_ZLIB|Z_|ZSTD_)/.test(code);
}
