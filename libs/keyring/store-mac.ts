/**
 * Port: authentication codes for what lies outside of the vault, or in it in clear, and decides.
 * Whoever can write files and tables, but has no key, cannot make one.
 *
 * Failures of every method: LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED.
 */
import { timingSafeEqual } from 'node:crypto';

/** HMAC-SHA-256 under a key of the store that turns of the epoch keep. */
export interface StoreMac {
  /** The code of label ‖ lp(field) of each field, as 64 hex digits. */
  mac(label: Uint8Array, fields: readonly (string | Uint8Array)[]): Promise<string>;
}

/** Are two codes the same? In a time that does not tell where they differ. */
export function isSameMac(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one, 'utf8'), Buffer.from(other, 'utf8')];
  return a.length === b.length && timingSafeEqual(a, b);
}
