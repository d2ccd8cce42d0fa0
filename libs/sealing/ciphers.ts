/**
 * Every cipher that content was ever sealed with, by the number that headers carry. Another one is
 * a file beside `aes-256-gcm.ts` and a line here; what was sealed before opens as before.
 */
import { LetheError } from '../base/lethe-error.ts';
import { aes256Gcm } from './aes-256-gcm.ts';
import type { Cipher } from './cipher.ts';

const ciphers: readonly Cipher[] = [aes256Gcm];

/** What is sealed with from now on. */
export const sealingCipher: Cipher = aes256Gcm;

/** The cipher of a header. Throws FORMAT_UNKNOWN: a newer version has sealed with it. */
export function cipherOf(id: number): Cipher {
  const found = ciphers.find((one) => one.id === id);
  if (found !== undefined) return found;
  throw new LetheError('FORMAT_UNKNOWN', `an event is sealed with cipher ${id}: use a newer Lethe`);
}
