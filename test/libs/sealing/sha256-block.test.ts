import { hash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digestWork, wipeWork, workArea } from '../../../libs/sealing/sha256-block.ts';

describe('SHA-256 over the work area', () => {
  it('equals the platform’s SHA-256 for every length it takes', () => {
    const out = Buffer.alloc(32);
    for (let length = 0; length <= 183; length += 1) {
      const message = randomBytes(length);
      workArea.set(message, 0);
      digestWork(length, out, 0);
      expect(out.toString('hex')).toBe(hash('sha256', message));
    }
  });

  it('refuses what does not fit', () => {
    expect(() => digestWork(184, Buffer.alloc(32), 0)).toThrow(RangeError);
  });

  it('leaves nothing behind after a wipe', () => {
    workArea.fill(0xaa);
    digestWork(51, Buffer.alloc(32), 0);
    wipeWork();
    expect(workArea.every((byte) => byte === 0)).toBe(true);
  });
});
