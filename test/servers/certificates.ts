/** Certificates for servers on loopback that ask for TLS, made by openssl; for tests. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** One certificate for 127.0.0.1, which signs itself, in the forms that servers ask for. */
export interface Certificate {
  /** PEM: what clients trust. */
  readonly caFile: string;
  /** PEM. */
  readonly keyFile: string;
  /** Both, as PKCS #12 under STORE_PASSWORD, for what runs on Java. */
  readonly keyStore: string;
}

export const STORE_PASSWORD = 'changeit';

/** Makes one in a folder. */
export function makeCertificate(folder: string): Certificate {
  mkdirSync(folder, { recursive: true });
  const [caFile, keyFile] = [join(folder, 'ca.pem'), join(folder, 'key.pem')];
  const keyStore = join(folder, 'server.p12');
  const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const key = ['-newkey', 'rsa:2048', '-nodes', '-days', '30'];
  openssl(['req', '-x509', ...key, ...names, '-keyout', keyFile, '-out', caFile]);
  const store = ['-out', keyStore, '-passout', `pass:${STORE_PASSWORD}`, '-name', 'server'];
  openssl(['pkcs12', '-export', '-inkey', keyFile, '-in', caFile, ...store]);
  return { caFile, keyFile, keyStore };
}

function openssl(args: readonly string[]): void {
  const done = spawnSync('openssl', args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`openssl: ${done.stderr}`);
}
