/**
 * Wrap and unwrap: a key, ring or row under another key (AES-256-GCM, SP 800-38D), with a fresh
 * random nonce at each wrap.
 *
 *   format u8 ‖ nonce 12 ‖ ciphertext ‖ tag 16
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { KeyId } from '../base/ids.ts';
import type { Randomness } from '../base/random.ts';
import { contended } from '../base/retry.ts';

const FORMAT = 1;
const OVERHEAD_BYTES = 1 + 12 + 16;

/** An opaque key that can wrap and unwrap. Printing shows a placeholder. */
export class WrappingKey {
  readonly id: KeyId;
  readonly #key: Buffer;
  readonly #randomness: Randomness;
  #isDestroyed = false;

  constructor(id: KeyId, key: Buffer, randomness: Randomness) {
    if (key.length !== 32) throw new RangeError('a wrapping key has 32 bytes');
    this.id = id;
    this.#key = key;
    this.#randomness = randomness;
  }

  get isDestroyed(): boolean {
    return this.#isDestroyed;
  }

  /** A zeroed key would wrap as well, for everybody and for good: it must be asked for anew. */
  #assertUsable(): void {
    if (this.#isDestroyed) throw contended();
  }

  /** Wraps bytes, bound to `associatedData`. Throws CONTENDED: the key was destroyed meanwhile. */
  wrap(plain: Uint8Array, associatedData: Uint8Array): Buffer {
    this.#assertUsable();
    const out = Buffer.allocUnsafe(OVERHEAD_BYTES + plain.length);
    out[0] = FORMAT;
    const nonce = this.#randomness.fill(out.subarray(1, 13));
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(associatedData);
    cipher.update(plain).copy(out, 13);
    cipher.final();
    cipher.getAuthTag().copy(out, 13 + plain.length);
    return out;
  }

  /**
   * Unwraps bytes. Undefined: not wrapped by this key with this associated data. Throws CONTENDED:
   * the key was destroyed meanwhile.
   */
  unwrap(wrapped: Buffer, associatedData: Uint8Array): Buffer | undefined {
    this.#assertUsable();
    if (wrapped[0] !== FORMAT || wrapped.length < OVERHEAD_BYTES) return undefined;
    const tagAt = wrapped.length - 16;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, wrapped.subarray(1, 13), {
      authTagLength: 16,
    });
    decipher.setAAD(associatedData);
    decipher.setAuthTag(wrapped.subarray(tagAt));
    const plain = decipher.update(wrapped.subarray(13, tagAt));
    try {
      decipher.final();
      return plain;
    } catch {
      plain.fill(0);
      return undefined;
    }
  }

  /** Zeroes the key; whoever uses it afterwards is told. */
  destroy(): void {
    this.#isDestroyed = true;
    this.#key.fill(0);
  }

  toJSON(): string {
    return '[WrappingKey]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[WrappingKey]';
  }
}
