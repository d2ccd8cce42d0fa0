/**
 * Port: keys of an app that are no rings. Directory, ledger and access keys are read with them.
 *
 * Failures of every method: LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED.
 */
import type { AppId } from '../base/ids.ts';
import type { HmacKey } from '../codec/hash.ts';
import type { WrappingKey } from './wrapping-key.ts';

/** Keys of an app beside its rings. */
export interface AppKeys {
  /** The key under which the app's external names are indexed. Undefined: no such app. */
  indexKey(app: AppId): Promise<HmacKey | undefined>;
  /** The key that wraps the delivery ledger's entries of a UTC day; made at first use. */
  ledgerKey(app: AppId, day: number): Promise<WrappingKey>;
  /**
   * Destroys the ledger's keys of the days before one, durably: no entry of theirs is left. What
   * an old copy of the ledger says of them cannot be read any more.
   */
  endLedgerKeys(app: AppId, before: number): Promise<void>;
  /**
   * The key that wraps the secret of one access key, of an app or (account scope) of the store.
   * `make`: it is made. Undefined: there is none any more, whatever rows say of the access key.
   */
  accessKey(app: AppId | 'store', id: string, make?: 'make'): Promise<WrappingKey | undefined>;
  /** Destroys it, durably, and has every holder of keys drop it. */
  endAccessKey(app: AppId | 'store', id: string): Promise<void>;
}
