/** SHA-256 and HMAC-SHA-256 (FIPS 180-4, RFC 2104) on the fast path of node:crypto. */

import { hash } from 'node:crypto';
import { contended } from '../base/retry.ts';
import { secretBytes } from '../base/secret-bytes.ts';

// A one-shot hash with text output costs a third of one with a Buffer output.
function sha256Into(input: Uint8Array, target: Buffer, at: number): void {
  target.write(hash('sha256', input, 'latin1'), at, 'latin1');
}

/** SHA-256 of the bytes. */
export function sha256(input: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(32);
  sha256Into(input, out, 0);
  return out;
}

const scratch = Buffer.alloc(2_048);

function byteLength(field: string | Uint8Array): number {
  return typeof field === 'string' ? Buffer.byteLength(field, 'utf8') : field.length;
}

/** An HMAC-SHA-256 with one key, ready for many inputs. The key is at most 64 bytes. */
export class HmacKey {
  readonly #inner = secretBytes(64).fill(0x36);
  readonly #outer = secretBytes(96).fill(0x5c);
  #isDestroyed = false;

  constructor(key: Uint8Array) {
    if (key.length > 64) throw new RangeError('an HMAC key is at most 64 bytes here');
    for (let i = 0; i < key.length; i += 1) {
      this.#inner[i] = 0x36 ^ key[i]!;
      this.#outer[i] = 0x5c ^ key[i]!;
    }
  }

  /**
   * The 32 bytes of HMAC-SHA-256 over label ‖ lp(field) of each field (text as UTF-8). Throws
   * CONTENDED: the key was destroyed meanwhile.
   */
  digestFields(label: Uint8Array, fields: readonly (string | Uint8Array)[]): Buffer {
    // Under zeros everybody could make the same.
    if (this.#isDestroyed) throw contended();
    let length = 64 + label.length;
    for (const field of fields) length += 4 + byteLength(field);
    const message = length <= scratch.length ? scratch : Buffer.allocUnsafe(length);
    message.set(this.#inner, 0);
    message.set(label, 64);
    let at = 64 + label.length;
    for (const field of fields) {
      const size = byteLength(field);
      message.writeUInt32BE(size, at);
      if (typeof field === 'string') message.write(field, at + 4, 'utf8');
      else message.set(field, at + 4);
      at += 4 + size;
    }
    sha256Into(message.subarray(0, length), this.#outer, 64);
    message.fill(0, 0, 64);
    return sha256(this.#outer);
  }

  /** Overwrites the key; whoever uses it afterwards is told. */
  destroy(): void {
    this.#isDestroyed = true;
    this.#inner.fill(0);
    this.#outer.fill(0);
  }

  toJSON(): string {
    return '[HmacKey]';
  }
}
