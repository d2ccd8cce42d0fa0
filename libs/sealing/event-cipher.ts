/**
 * Seal and unseal content: AES-256-GCM (NIST SP 800-38D) under the event key, a random 96-bit
 * nonce, the header bytes as associated data. A failed tag is `tampered`, never anything else.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { LetheError } from '../base/lethe-error.ts';
import type { Randomness } from '../base/random.ts';

export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;

/** Nonce, ciphertext and tag of one sealed content. */
export interface Sealed {
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/** Seals content under a 32-byte key; `associatedData` must be given again to unseal. */
export function sealContent(
  key: Uint8Array,
  content: Uint8Array,
  bound: { associatedData: Uint8Array; randomness: Randomness },
): Sealed {
  const nonce = bound.randomness.fill(Buffer.allocUnsafe(NONCE_BYTES));
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(bound.associatedData);
  const ciphertext = cipher.update(content);
  cipher.final();
  return { nonce, ciphertext, tag: cipher.getAuthTag() };
}

/** Unseals content. Throws EVENT_TAMPERED when the tag does not verify. */
export function unsealContent(key: Uint8Array, sealed: Sealed, associatedData: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.nonce, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(associatedData);
  decipher.setAuthTag(sealed.tag);
  const content = decipher.update(sealed.ciphertext);
  try {
    decipher.final();
  } catch {
    content.fill(0);
    throw new LetheError('EVENT_TAMPERED', 'the authentication tag of an event does not verify');
  }
  return content;
}
