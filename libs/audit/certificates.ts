/**
 * Port: certificates are signed and kept. The private key stays with its adapter.
 *
 * Failures: STATE_UNREACHABLE, STORE_FULL, CONFIGURATION_INVALID (there are certificates, and their
 * key is not where keys are to be).
 */
import type { Statement } from './dsse.ts';

/** A public key, and its name: whoever keeps that elsewhere knows the key again. */
export interface PublicKey {
  readonly file: string;
  /** SHA-256 of its DER form, in hex. */
  readonly keyId: string;
}

/** Where certificates are signed and kept. */
export interface Certificates {
  /** Can something be signed and kept? Asked before anything is taken. Throws what that throws. */
  assertReady(): Promise<void>;
  /**
   * Signs a statement and keeps it durably under a name; gives where it lies. What was issued under
   * this name before, by a run that ended early, stays as it was said, with the subject of
   * this one. `isSame` tells whether what lies there is about the same; else it counts for nothing.
   */
  issue(
    name: string,
    statement: Statement,
    isSame: (issued: Statement) => boolean,
  ): Promise<{ file: string }>;
  /** What lies under this name, if it is signed by us. */
  find(name: string): Promise<{ file: string; statement: Statement } | undefined>;
  /** Does something lie under this name that we have not signed? */
  isForeign(name: string): Promise<boolean>;
  /** Is what lies under this name signed by us, with this subject? */
  holds(name: string, subject: Statement['subject']): Promise<boolean>;
  /**
   * Signs it anew with what was reached since: `complete` is given the statement that was issued,
   * and throws when it is about something else. False: there is none under this name. Throws
   * CERTIFICATE_INVALID when it is not ours.
   */
  complete(name: string, complete: (issued: Statement) => Statement): Promise<boolean>;
  /**
   * The public key that its readers need. Another one that lies there, which somebody may have put
   * there to have false certificates believed, is set aside.
   */
  publicKey(): Promise<PublicKey>;
  /** Why nobody should, or can, verify by the public key that is there; undefined: all is well. */
  publicKeyProblem(): Promise<string | undefined>;
}
