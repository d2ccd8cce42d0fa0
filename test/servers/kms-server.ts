/** An AWS KMS on loopback (LocalStack's, from PyPI). Its keys lie in memory and end with it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchPython } from './downloads.ts';
import {
  freePorts,
  hasLogged,
  type ServerProcess,
  startProcess,
  untilReady,
} from './server-process.ts';

const PACKAGES = [
  'localstack-core[base-runtime]==4.9.2',
  'service_identity',
  'moto-ext==5.1.14.post7',
  'pyparsing',
  'py-partiql-parser',
  'antlr4-python3-runtime',
  'joserfc',
  'jsonpath-ng',
  'PyYAML',
];
const CONSTRAINTS = [
  'cbor2==5.7.0',
  'pyOpenSSL==25.1.0',
  'cryptography==45.0.7',
  'service_identity==24.2.0',
];
const READY_MS = 90_000;

/** A running KMS. */
export interface KmsServer {
  readonly endpoint: string;
  readonly process: ServerProcess;
}

/** Brings what it is made of; its interpreter. */
export function fetchKms(): string {
  return fetchPython('localstack-4.9.2', PACKAGES, CONSTRAINTS);
}

// It listens on every address whatever it is told: this keeps it to loopback.
const LOOPBACK_ONLY = `import runpy, socket
bind = socket.socket.bind
def bind_to_loopback(self, address):
    if isinstance(address, tuple) and address[0] in ("", "0.0.0.0"):
        address = ("127.0.0.1", *address[1:])
    elif isinstance(address, tuple) and address[0] == "::":
        address = ("::1", *address[1:])
    return bind(self, address)
socket.socket.bind = bind_to_loopback
runpy.run_module("localstack.runtime.main", run_name="__main__")
`;

/** Starts it in a folder. */
export async function startKms(folder: string): Promise<KmsServer> {
  const python = fetchKms();
  const [port] = (await freePorts(1)) as [number];
  const own = join(folder, 'kms');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'loopback-only.py'), LOOPBACK_ONLY);
  const process = startProcess({
    name: 'kms',
    folder: own,
    command: python,
    args: ['loopback-only.py'],
    env: {
      DISABLE_EVENTS: '1',
      SKIP_SSL_CERT_DOWNLOAD: '1',
      SERVICES: 'kms',
      STRICT_SERVICE_LOADING: '1',
      GATEWAY_LISTEN: `127.0.0.1:${port}`,
      FILESYSTEM_ROOT: own,
      DNS_ADDRESS: '0',
    },
  });
  await untilReady(process, () => hasLogged(process, 'Ready.'), READY_MS);
  return { endpoint: `http://127.0.0.1:${port}`, process };
}
