/**
 * Port: certificates are signed and kept. The private key stays with its adapter.
 *
 * Failures: STATE_UNREACHABLE.
 */
import type { Statement } from './dsse.ts';

/** Where certificates are signed and kept. */
export interface Certificates {
  /**
   * Signs a statement and keeps it durably under a name; gives where it lies. One that was issued
   * under this name before stays as it is, and counts.
   */
  issue(name: string, statement: Statement): Promise<{ file: string; isNew: boolean }>;
  /**
   * Signs it anew with what was reached since: `complete` is given the statement that was issued.
   * False: there is none under this name. Throws CERTIFICATE_INVALID when it is not ours.
   */
  complete(name: string, complete: (issued: Statement) => Statement): Promise<boolean>;
  /** Where the public key lies that its readers need. */
  publicKeyFile(): Promise<string>;
}
