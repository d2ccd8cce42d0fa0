import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { mendDecoding } from '../../../../libs/event-log/kafka/decode-batches.ts';

const load = createRequire(import.meta.url);
const BASE = 40;

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = (value << 1) ^ (value >> 31); ; left >>>= 7) {
    if (left >>> 7 === 0) return Buffer.from([...bytes, left]);
    bytes.push((left & 127) | 128);
  }
}

const bytesOf = (text: string) => Buffer.concat([varint(text.length), Buffer.from(text)]);

interface Given {
  readonly delta: number;
  readonly value: string;
  readonly headers?: number;
  /** What it says of the length of its value. */
  readonly says?: number;
}

function recordOf({ delta, value, headers = 0, says }: Given): Buffer {
  const named = Array.from({ length: headers }, (_, i) => [bytesOf(`h${i}`), bytesOf('')]).flat();
  const length =
    says === undefined ? bytesOf(value) : Buffer.concat([varint(says), Buffer.from(value)]);
  const parts = [Buffer.of(0), varint(0), varint(delta), bytesOf('k'), length, varint(headers)];
  const record = Buffer.concat([...parts, ...named]);
  return Buffer.concat([varint(record.length), record]);
}

/** A batch as it lies in Kafka, from offset 40 on; nobody checks its sum here. */
function batchOf(lastDelta: number, records: readonly Given[]): Buffer {
  const header = Buffer.alloc(61);
  const body = Buffer.concat(records.map(recordOf));
  header.writeBigInt64BE(BigInt(BASE), 0);
  header.writeInt32BE(49 + body.length, 8);
  header.writeInt8(2, 16);
  header.writeInt32BE(lastDelta, 23);
  header.writeInt32BE(records.length, 57);
  return Buffer.concat([header, body]);
}

/** What kafkajs makes of a fetched answer. */
async function decode(...batches: Buffer[]) {
  mendDecoding();
  const bytes = Buffer.concat(batches);
  const size = Buffer.alloc(4);
  size.writeInt32BE(bytes.length);
  const Decoder = load('kafkajs/src/protocol/decoder.js');
  const decodeMessages = load('kafkajs/src/protocol/requests/fetch/v4/decodeMessages.js');
  const found = await decodeMessages(new Decoder(Buffer.concat([size, bytes])));
  return found.map(({ offset, value }: { offset: string; value: Buffer }) => {
    return [Number(offset), value.equals(Buffer.of(0)) ? 'unreadable' : String(value)];
  });
}

const ODD: [string, Buffer][] = [
  [
    'an offset beyond it',
    batchOf(1, [
      { delta: 0, value: 'a' },
      { delta: 60_000_000, value: 'b' },
    ]),
  ],
  [
    'an offset before it',
    batchOf(1, [
      { delta: -7, value: 'a' },
      { delta: 1, value: 'b' },
    ]),
  ],
  ['very many headers', batchOf(1, [{ delta: 0, value: 'a', headers: 200_000 }])],
  ['a value longer than it is', batchOf(1, [{ delta: 0, value: 'a', says: 1_000_000 }])],
  ['a value of less than nothing', batchOf(1, [{ delta: 0, value: 'a', says: -5 }])],
];

describe('a batch of Kafka', () => {
  it('gives its records at their offsets, also where some have been taken away', async () => {
    const good = batchOf(5, [
      { delta: 1, value: 'one', headers: 2 },
      { delta: 4, value: 'four' },
    ]);
    expect(await decode(good)).toEqual([
      [41, 'one'],
      [44, 'four'],
    ]);
  });

  it.each(ODD)('with %s stands as one record at its last offset, at once', async (_, batch) => {
    const began = performance.now();
    expect(await decode(batch, batchOf(0, [{ delta: 0, value: 'next' }]))).toEqual([
      [41, 'unreadable'],
      [40, 'next'],
    ]);
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});
