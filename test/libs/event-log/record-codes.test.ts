import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createRecordCodes } from '../../../libs/event-log/record-codes.ts';

describe('codes of records', () => {
  const record = { key: Buffer.from('a key'), value: Buffer.from('a value') };

  it('are 16 bytes of HMAC-SHA-256 over label, key and value, each with its length', async () => {
    const codes = createRecordCodes(async () => Buffer.alloc(32, 7));
    await codes.ready();
    expect(codes.of(record).toString('hex')).toBe('4f0af8ac2607f64363b4dece1b139146');
  });

  it('are none of another key, value, store or place of a bound between two', async () => {
    const secret = randomBytes(32);
    const codes = createRecordCodes(async () => Buffer.from(secret));
    await codes.ready();
    const code = codes.of(record);
    expect(codes.isOwn({ ...record, code })).toBe(true);
    expect(codes.isOwn(record)).toBe(false);
    expect(codes.isOwn({ ...record, code: code.subarray(1) })).toBe(false);
    expect(codes.isOwn({ ...record, key: Buffer.from('another'), code })).toBe(false);
    expect(codes.isOwn({ ...record, value: Buffer.from('another'), code })).toBe(false);
    const moved = { key: Buffer.from('a ke'), value: Buffer.from('ya value') };
    expect(codes.isOwn({ ...moved, code })).toBe(false);
    secret[0]! ^= 1;
    expect(await codes.reload()).toBe(true);
    expect(codes.isOwn({ ...record, code })).toBe(false);
    expect(await codes.reload()).toBe(false);
  });
});
