/** What a cipher is here: an AEAD (RFC 5116) with keys of 32 bytes. */
import type { Randomness } from '../base/random.ts';

/** Nonce, ciphertext and tag of one sealed content. */
export interface Sealed {
  /** 12 bytes. */
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  /** 16 bytes. */
  readonly tag: Buffer;
}

/** Seals and unseals content under keys that seal one event each. */
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
