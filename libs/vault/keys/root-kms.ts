/**
 * Port: the key management service at the root of the vault. It is asked once per process start.
 *
 * Failures: ROOT_KMS_DENIED (wrong passphrase, damaged or missing key, disabled key; not
 * retryable), ROOT_KMS_UNREACHABLE (retryable).
 */
import type { KeyId } from '../../base/ids.ts';

/** Wraps and unwraps the root of the vault. It is asked once a process start, and by turns. */
export interface RootKms {
  /** Makes a key; it is durable on return. */
  createKey(): Promise<KeyId>;
  /** Wraps at most 4 KiB; `context` holds random ids only, because services log it in clear. */
  wrap(key: KeyId, plain: Buffer, context: string): Promise<Buffer>;
  unwrap(key: KeyId, wrapped: Buffer, context: string): Promise<Buffer>;
  /** Begins the end of a key: it cannot be used from now on. One that is gone is left alone. */
  destroyKey(key: KeyId): Promise<void>;
  /** `pending`: it is scheduled to be deleted and could still be brought back. */
  describeKey(key: KeyId): Promise<'usable' | 'pending' | 'gone'>;
  /** How many times the service was called by this process. */
  readonly callCount: number;
  /** How many of these calls failed. */
  readonly failureCount: number;
}
