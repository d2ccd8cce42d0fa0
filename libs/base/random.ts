/**
 * Randomness is passed in, so that tests can replay; the real source is pooled because a call of
 * the operating system per nonce costs more than the sealing itself.
 */
import { randomFillSync } from 'node:crypto';
import type { AnyId, EventId } from './ids.ts';

/** A source of random bytes. */
export interface Randomness {
  /** Fills `target` with random bytes and returns it. */
  fill<Target extends Uint8Array>(target: Target): Target;
}

const POOL_BYTES = 8192;

/** The operating system's generator behind a pool; bytes that were handed out are zeroed in it. */
export function createSystemRandomness(): Randomness {
  const pool = Buffer.alloc(POOL_BYTES);
  let used = POOL_BYTES;
  return {
    fill(target) {
      if (target.length > POOL_BYTES / 4) return randomFillSync(target);
      if (used + target.length > POOL_BYTES) {
        randomFillSync(pool);
        used = 0;
      }
      target.set(pool.subarray(used, used + target.length));
      pool.fill(0, used, used + target.length);
      used += target.length;
      return target;
    },
  };
}

/** A new random id without a bucket. */
export function randomId<Id extends AnyId>(randomness: Randomness): Id {
  return randomness.fill(Buffer.alloc(16)).toString('hex') as Id;
}

/** A new random id that lies in the given bucket (0..65535). */
export function randomIdInBucket<Id extends AnyId>(randomness: Randomness, bucket: number): Id {
  const bytes = randomness.fill(Buffer.alloc(16));
  bytes.writeUInt16BE(bucket, 0);
  return bytes.toString('hex') as Id;
}

/** A new UUID version 7 (RFC 9562 section 5.7) as 32 hex digits. */
export function randomUuidV7(randomness: Randomness, nowMs: number): EventId {
  const bytes = randomness.fill(Buffer.alloc(16));
  bytes.writeUIntBE(nowMs, 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex') as EventId;
}
