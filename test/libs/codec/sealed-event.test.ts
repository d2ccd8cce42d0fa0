import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recordCodec } from '../../../libs/codec/avro.ts';
import {
  decodeHeader,
  decodeSealedEvent,
  type EventHeader,
  encodeHeader,
  encodeSealedEvent,
} from '../../../libs/codec/sealed-event.ts';

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('hex'));
const text = fc.option(fc.string({ maxLength: 40 }), { nil: null });
const header = fc.record({
  formatVersion: fc.constant(1),
  eventId: hex(16),
  attempt: fc.integer({ min: 1, max: 65_535 }),
  app: hex(16),
  type: fc.string({ maxLength: 30 }),
  stream: hex(16),
  place: hex(16),
  ownerKind: fc.constantFrom('person', 'group', 'app'),
  owner: hex(16),
  thing: hex(16),
  retentionClass: fc.integer({ min: 0, max: 14 }),
  occurredAt: fc.integer({ min: 0, max: 65_536 * 86_400_000 - 1 }),
  recordedAt: hex(8),
  contentFingerprint: hex(8),
  cipher: fc.constant(1),
  attachments: fc.array(hex(16), { maxLength: 3 }),
  contentKind: text,
  authorRole: text,
  replyTo: fc.option(hex(16), { nil: null }),
  receiptStatus: text,
}) as unknown as fc.Arbitrary<EventHeader>;

describe('the envelope', () => {
  it('writes a header exactly as its Avro schema says, and reads it back', () => {
    const codec = recordCodec<EventHeader>('SealedEventHeader');
    fc.assert(
      fc.property(header, (value) => {
        const bytes = encodeHeader(value);
        expect(bytes.equals(codec.encodeTagged(value))).toBe(true);
        expect(decodeHeader(bytes)).toEqual(value);
      }),
    );
  });

  it('writes a record exactly as its Avro schema says, whatever its size', () => {
    const codec = recordCodec<object>('SealedEvent');
    const sizes = [0, 1, 63, 64, 8_191, 8_192, 100_000];
    for (const size of sizes) {
      const parts = {
        headerBytes: encodeHeader(fc.sample(header, 1)[0]!),
        nonce: Buffer.alloc(12, 7),
        ciphertext: Buffer.alloc(size, 9),
        tag: Buffer.alloc(16, 11),
      };
      const value = encodeSealedEvent(parts);
      const { headerBytes, nonce, ciphertext, tag } = parts;
      const expected = codec.encodeSingleObject({ header: headerBytes, nonce, ciphertext, tag });
      expect(value.equals(expected)).toBe(true);
      expect(decodeSealedEvent(value).ciphertext.equals(ciphertext)).toBe(true);
    }
  });

  it('refuses every truncation and every appended byte, without reading out of bounds', () => {
    const value = encodeSealedEvent({
      headerBytes: encodeHeader(fc.sample(header, 1)[0]!),
      nonce: Buffer.alloc(12),
      ciphertext: Buffer.alloc(40),
      tag: Buffer.alloc(16),
    });
    for (let end = 0; end < value.length; end += 1) {
      expect(() => decodeSealedEvent(value.subarray(0, end))).toThrowError(/record value|header/);
    }
    expect(() => decodeSealedEvent(Buffer.concat([value, Buffer.from([0])]))).toThrow();
  });

  it('begins with the single-object marker and the fingerprint in little endian', () => {
    const value = encodeSealedEvent({
      headerBytes: Buffer.alloc(0),
      nonce: Buffer.alloc(12),
      ciphertext: Buffer.alloc(0),
      tag: Buffer.alloc(16),
    });
    expect(value.subarray(0, 2).toString('hex')).toBe('c301');
    expect(value.toString('hex', 2, 10)).toBe(recordCodec('SealedEvent').fingerprint);
  });
});
