/**
 * How the batches of a fetched answer are decoded, in place of the way of kafkajs 2.2.4. There one
 * batch that cannot be decoded fails the whole answer, also what it has of other partitions, and so
 * do very many records. Anybody who may write to the broker may send such a batch.
 *
 * Here it stands as one record that nobody can read, at its last offset.
 *
 * The header of a batch: https://kafka.apache.org/documentation/#recordbatch
 */
import { createRequire } from 'node:module';

/** Of no version: whoever projects it makes a dead letter of its place. */
const UNREADABLE = Buffer.of(0);
const HEADER_BYTES = 61;
const LENGTH_AT = 8;
const LENGTH_COUNTS_FROM = 12;
const MAGIC_AT = 16;
const LAST_OFFSET_AT = 23;
const COUNT_AT = 57;
const MAGIC = 2;
/** Far more than is ever written here at once; each takes some hundred bytes of memory. */
const RECORDS_MAX = 20_000;

/** What is written here has a trace and a code at most. */
const HEADERS_MAX = 100;

interface Decoder {
  readInt8(): number;
  readInt32(): number;
  readVarInt(): number;
  readVarLong(): unknown;
  canReadBytes(length: number): boolean;
  readBytes(length: number): Buffer;
}

/** What kafkajs tells of the batch that a record is in. */
interface BatchContext {
  readonly firstOffset: string;
  readonly firstTimestamp: string;
  readonly lastOffsetDelta: number;
  readonly isControlBatch: boolean;
}

/** A record as kafkajs hands it on. */
interface Message {
  readonly offset: string;
}

type DecodeBatch = (decoder: Decoder) => Promise<{ readonly records: readonly Message[] }>;

/** Has kafkajs decode fetched answers this way. It loads its own way with the first answer. */
export function mendDecoding(): void {
  const load = createRequire(import.meta.url);
  const ofRecords = load.resolve('kafkajs/src/protocol/recordBatch/record/v0/decoder.js');
  load(ofRecords);
  load.cache[ofRecords]!.exports = decodeRecord;
  const path = load.resolve('kafkajs/src/protocol/requests/fetch/v4/decodeMessages.js');
  load(path);
  load.cache[path]!.exports = (decoder: Decoder) => decodeMessages(decoder, load);
}

async function decodeMessages(decoder: Decoder, load: NodeJS.Require): Promise<Message[]> {
  const size = decoder.readInt32();
  if (size <= 0 || !decoder.canReadBytes(size)) return [];
  const bytes = decoder.readBytes(size);
  const messages: Message[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const end = at + LENGTH_COUNTS_FROM + bytes.readInt32BE(at + LENGTH_AT);
    // An answer ends where its bytes are used up, also within a batch.
    if (end < at + HEADER_BYTES || end > bytes.length) break;
    for (const one of await decodeBatch(bytes.subarray(at, end), load)) messages.push(one);
    // The rest is asked for once more.
    if (messages.length >= RECORDS_MAX) break;
    at = end;
  }
  return messages;
}

async function decodeBatch(batch: Buffer, load: NodeJS.Require): Promise<readonly Message[]> {
  const isRead = batch.readInt8(MAGIC_AT) === MAGIC && batch.readInt32BE(COUNT_AT) <= RECORDS_MAX;
  if (!isRead) return [unreadable(batch)];
  const Decoder = load('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => Decoder;
  const decode = load('kafkajs/src/protocol/recordBatch/v0/decoder.js') as DecodeBatch;
  try {
    return (await decode(new Decoder(batch))).records;
  } catch {
    // Whatever it was, it is about these bytes: nothing else was asked.
    return [unreadable(batch)];
  }
}

/**
 * One record of a batch. The broker looks at none of this: an offset outside of the batch, or very
 * many headers, make the batch unreadable. Marks of the broker itself, as the end of somebody's
 * transaction, say nothing but take a place: they stand as records without a key and a value, or
 * who follows would never be told of what lies before the end.
 *
 * https://kafka.apache.org/documentation/#record
 */
function decodeRecord(decoder: Decoder, batch: BatchContext): Message & Record<string, unknown> {
  const attributes = decoder.readInt8();
  decoder.readVarLong();
  const delta = decoder.readVarInt();
  if (delta < 0 || delta > batch.lastOffsetDelta) throw new RangeError('outside of its batch');
  const key = readBytes(decoder);
  const value = readBytes(decoder);
  const count = decoder.readVarInt();
  if (count > HEADERS_MAX) throw new RangeError('too many headers');
  const headers: Record<string, Buffer | null> = Object.create(null);
  for (let i = 0; i < count; i += 1) headers[String(readBytes(decoder))] = readBytes(decoder);
  return {
    magicByte: MAGIC,
    attributes,
    timestamp: batch.firstTimestamp,
    offset: String(BigInt(batch.firstOffset) + BigInt(delta)),
    key: batch.isControlBatch ? null : key,
    value: batch.isControlBatch ? null : value,
    headers,
    isControlRecord: false,
    batchContext: batch,
  };
}

function readBytes(decoder: Decoder): Buffer | null {
  const length = decoder.readVarInt();
  if (length === -1) return null;
  if (length < 0 || !decoder.canReadBytes(length)) throw new RangeError('longer than its batch');
  return decoder.readBytes(length);
}

function unreadable(batch: Buffer): Message & Record<string, unknown> {
  const isOld = batch.readInt8(MAGIC_AT) !== MAGIC;
  const offset = batch.readBigInt64BE(0) + BigInt(isOld ? 0 : batch.readInt32BE(LAST_OFFSET_AT));
  return {
    magicByte: MAGIC,
    attributes: 0,
    timestamp: '0',
    offset: String(offset),
    key: null,
    value: UNREADABLE,
    headers: {},
    isControlRecord: false,
    batchContext: { producerId: '-1', inTransaction: false },
  };
}
