/**
 * Copies a log into another one, which may have another number of partitions. The copy is walked in
 * step with the original. What is there already is compared byte for byte, and not written again.
 * So an interrupted copy goes on where it ended, and a second walk proves the first.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { LetheError } from '../base/lethe-error.ts';
import { namesStream, streamToPartition } from '../codec/event-record.ts';
import { type EventLog, isTombstone, type LogRecord, type PlacedRecord } from './event-log.ts';

const PAGE_RECORDS = 1_000;
/** More than one append holds. */
const REPEATED_RECORDS_MAX = 10_000;

/** What a walk found. */
export interface CopiedLog {
  readonly records: number;
  /** What others have appended: it is no event, and was left out. */
  readonly foreign: number;
  readonly appended: number;
  /** SHA-256 over all keys and values in the order of the walk. */
  readonly hash: string;
}

/** Walks, and appends what is missing. Throws INPUT_INVALID: the target holds something else. */
export async function copyLog(
  from: EventLog,
  to: EventLog,
  onProgress: (records: number) => void = () => undefined,
): Promise<CopiedLog> {
  const hash = createHash('sha256');
  let [records, appended, foreign] = [0, 0, 0];
  const onForeign = (count: number) => {
    foreign += count;
  };
  for (let partition = 0; partition < from.partitions; partition += 1) {
    // What another partition of the original gave lies between, in an order of its own.
    const isOfIt = ({ key }: LogRecord) => streamToPartition(key, from.partitions) === partition;
    const cursors = Array.from({ length: to.partitions }, (_, i) => new Cursor(to, i, isOfIt));
    for await (const page of pages(from, partition, onForeign)) {
      const missing: LogRecord[] = [];
      for (const { key, value } of page) {
        hash.update(key).update(value);
        const cursor = cursors[streamToPartition(key, to.partitions)]!;
        if (!(await cursor.matches({ key, value }))) missing.push({ key, value });
      }
      await to.append(missing);
      records += page.length;
      appended += missing.length;
      onProgress(records);
    }
    for (const [i, cursor] of cursors.entries()) {
      if (canShare(from.partitions, to.partitions, [partition, i])) await cursor.assertEnd();
    }
  }
  return { records, appended, foreign, hash: hash.digest('hex') };
}

async function* pages(
  log: EventLog,
  partition: number,
  onForeign: (count: number) => void = () => undefined,
): AsyncIterable<PlacedRecord[]> {
  for (let next = 0; ; ) {
    const page = await log.read(partition, next, PAGE_RECORDS);
    const last = page.at(-1);
    if (last === undefined) return;
    // What names no stream has no place elsewhere: it is a dead letter where it lies.
    const named = page.filter((record) => !isTombstone(record) && namesStream(record.key));
    const own = named.filter((record) => log.codes?.isOwn(record) ?? true);
    onForeign(named.length - own.length);
    yield own;
    next = last.offset + 1;
  }
}

/** Reads what a partition of the target held when the walk began. */
class Cursor {
  readonly #records: AsyncIterator<PlacedRecord>;
  // What was met lately: an append that was repeated lies on the log twice.
  readonly #met = new LRUCache<string, true>({ max: REPEATED_RECORDS_MAX });
  #next: PlacedRecord | undefined;
  #isAtEnd = false;

  constructor(log: EventLog, partition: number, isMeant: (record: LogRecord) => boolean) {
    this.#records = recordsOf(log, partition, isMeant);
  }

  /** Is this the next record that is there? False: nothing more is. */
  async matches(record: LogRecord): Promise<boolean> {
    await this.#skipRepeated();
    if (this.#next === undefined) return false;
    if (!isSame(this.#next, record)) throw otherContent();
    this.#met.set(record.key.toString('hex'), true);
    this.#next = undefined;
    return true;
  }

  async assertEnd(): Promise<void> {
    await this.#skipRepeated();
    if (this.#next !== undefined) throw otherContent();
  }

  async #skipRepeated(): Promise<void> {
    while (this.#next === undefined && !this.#isAtEnd) {
      const { value, done } = await this.#records.next();
      if (done) this.#isAtEnd = true;
      else if (!this.#met.has(value.key.toString('hex'))) this.#next = value;
    }
  }
}

async function* recordsOf(
  log: EventLog,
  partition: number,
  isMeant: (record: LogRecord) => boolean,
): AsyncGenerator<PlacedRecord> {
  const end = (await log.endOffsets())[partition]!;
  for await (const page of pages(log, partition)) {
    for (const record of page) {
      if (record.offset >= end) return;
      if (isMeant(record)) yield record;
    }
  }
}

/** Can a stream lie in both partitions? Both are its last number, modulo their counts. */
function canShare(from: number, to: number, [one, other]: [number, number]): boolean {
  let [shared, rest] = [from, to];
  while (rest > 0) [shared, rest] = [rest, shared % rest];
  return one % shared === other % shared;
}

function isSame(one: LogRecord, other: LogRecord): boolean {
  return one.key.equals(other.key) && one.value.equals(other.value);
}

function otherContent(): LetheError {
  const text = 'the log to copy into holds other records: choose an empty one';
  return new LetheError('INPUT_INVALID', text);
}
