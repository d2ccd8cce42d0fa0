/**
 * Every cipher that content was ever sealed with, by the number that headers carry. Another one is
 * a file beside `aes-256-gcm.ts` and a line here; what was sealed before opens as before.
 */
import { LetheError } from '../base/lethe-error.ts';
import type { Randomness } from '../base/random.ts';
import { aes256Gcm } from './aes-256-gcm.ts';

/** Nonce, ciphertext and tag of one sealed content. */
export interface Sealed {
  /** 12 bytes. */
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  /** 16 bytes. */
  readonly tag: Buffer;
}

/** An AEAD with keys of 32 bytes (RFC 5116). */
export interface Cipher {
  /** Its number in headers, and in the derivation of every event key. */
  readonly id: number;
  /** Seals content; `associatedData` must be given again to unseal. */
  seal(
    key: Uint8Array,
    content: Uint8Array,
    bound: { readonly associatedData: Uint8Array; readonly randomness: Randomness },
  ): Sealed;
  /** Throws EVENT_TAMPERED when the tag does not verify. */
  unseal(key: Uint8Array, sealed: Sealed, associatedData: Uint8Array): Buffer;
}

const ciphers: readonly Cipher[] = [aes256Gcm];

/** What is sealed with from now on. */
export const sealingCipher: Cipher = aes256Gcm;

/** The cipher of a header. Throws FORMAT_UNKNOWN: a newer version has sealed with it. */
export function cipherOf(id: number): Cipher {
  const found = ciphers.find((one) => one.id === id);
  if (found !== undefined) return found;
  throw new LetheError('FORMAT_UNKNOWN', `an event is sealed with cipher ${id}: use a newer Lethe`);
}
