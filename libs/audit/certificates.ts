/**
 * Port: certificates are signed and kept. The private key stays with its adapter.
 *
 * Failures: STATE_UNREACHABLE.
 */
import type { Statement } from './dsse.ts';

export interface Certificates {
  /** Signs a statement and keeps it durably under a name; gives where it lies. */
  issue(name: string, statement: Statement): Promise<string>;
  /** Where the public key lies that its readers need. */
  publicKeyFile(): Promise<string>;
}
