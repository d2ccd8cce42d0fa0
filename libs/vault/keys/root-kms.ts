/**
 * Port: the key management service at the root of the vault. It is asked once per process start.
 *
 * Failures: ROOT_KMS_DENIED (wrong passphrase, damaged or missing key, disabled key; not
 * retryable), ROOT_KMS_UNREACHABLE (retryable).
 */
import type { KeyId } from '../../base/ids.ts';

/**
 * What a KMS says of a key. `disabled`: it opens nothing, but nobody has scheduled its deletion.
 * `pending`: it is scheduled to be deleted and could still be brought back. `gone`: this KMS had it
 * and has destroyed it. `unknown`: this KMS does not know it, so it may be usable in another one.
 */
export type KeyState = 'usable' | 'disabled' | 'pending' | 'gone' | 'unknown';

/** What a key is made for. */
export interface KeyOrigin {
  /**
   * The key of the same store that it comes instead of. Whoever serves with that is taken to serve
   * with this one.
   */
  readonly insteadOf?: KeyId;
  /** The store that this one is a copy of, or was restored from. */
  readonly copiedFrom?: string | undefined;
}

/** Wraps and unwraps the root of the vault. It is asked once a process start, and by turns. */
export interface RootKms {
  /** Makes a key for a store, named by its random id; it is durable on return. */
  createKey(store: string, as?: KeyOrigin): Promise<KeyId>;
  /** The keys that were made for a store and are not gone. */
  keysOf(store: string): Promise<KeyId[]>;
  /** The stores that a store was restored or copied to, as far as this KMS remembers them. */
  copiesOf(store: string): Promise<string[]>;
  /** The store that a key was made for; undefined: it is not known. */
  storeOf(key: KeyId): Promise<string | undefined>;
  /** Wraps at most 4 KiB; `context` holds random ids only, because services log it in clear. */
  wrap(key: KeyId, plain: Buffer, context: string): Promise<Buffer>;
  unwrap(key: KeyId, wrapped: Buffer, context: string): Promise<Buffer>;
  /** Begins the end of a key: it cannot be used from now on. One that is gone is left alone. */
  destroyKey(key: KeyId): Promise<void>;
  describeKey(key: KeyId): Promise<KeyState>;
  /** Notes that a process serves with a key, or serves with it no more. */
  noteServing(key: KeyId, isServing: boolean): Promise<void>;
  /**
   * Does a process serve with a key, as far as this KMS knows? No clock of whoever asks decides it.
   * Where a process has ended without a word this takes up to a minute.
   */
  isServed(key: KeyId): Promise<boolean>;
  /** Keys that it has destroyed and that are there again: somebody has put a copy back. */
  broughtBack(): Promise<KeyId[]>;
  /** Does it tell a key that it has destroyed from one that it never had? */
  readonly remembersKeys: boolean;
  /** How many times the service was called by this process. */
  readonly callCount: number;
  /** How many of these calls failed. */
  readonly failureCount: number;
}
