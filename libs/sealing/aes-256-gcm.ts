/**
 * AES-256-GCM (NIST SP 800-38D) under the event key, with a random 96-bit nonce: each key seals one
 * event and its copies. A failed tag is `tampered`, never anything else.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { LetheError } from '../base/lethe-error.ts';
import type { Cipher } from './cipher.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export const aes256Gcm: Cipher = {
  id: 1,
  seal(key, content, { associatedData, randomness }) {
    const nonce = randomness.fill(Buffer.allocUnsafe(NONCE_BYTES));
    const cipher = createCipheriv('aes-256-gcm', key, nonce);
    cipher.setAAD(associatedData);
    const ciphertext = cipher.update(content);
    cipher.final();
    return { nonce, ciphertext, tag: cipher.getAuthTag() };
  },
  unseal(key, sealed, associatedData) {
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
  },
};
