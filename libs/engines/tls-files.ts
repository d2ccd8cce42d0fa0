/** What the TLS of a connection is opened with, read from its PEM files. */
import { readFileSync } from 'node:fs';
import type { TlsFiles } from './engine-urls.ts';

/** The PEM files of a connection. Throws when one cannot be read. */
export function readTlsFiles({ ca, cert, key }: TlsFiles) {
  return {
    ...(ca && { ca: [readFileSync(ca)] }),
    ...(cert && { cert: readFileSync(cert) }),
    ...(key && { key: readFileSync(key) }),
  };
}
