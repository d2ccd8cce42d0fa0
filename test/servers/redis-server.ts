/** Redis on loopback, from Debian's package; it keeps nothing on disk. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { makeCertificate } from './certificates.ts';
import { fetchDebianProgram } from './downloads.ts';
import {
  answers,
  freePorts,
  type ServerProcess,
  startProcess,
  untilReady,
} from './server-process.ts';

// What Debian's redis-server links to beyond the C library.
const PACKAGES = [
  'redis-tools',
  'libatomic1',
  'libhiredis0.14',
  'libjemalloc2',
  'liblua5.1-0',
  'liblzf1',
  'lua-bitop',
  'lua-cjson',
  'libssl3',
];
const READY_MS = 10_000;

/** A running Redis. */
export interface RedisServer {
  readonly port: number;
  readonly process: ServerProcess;
  /** The listener that asks for TLS and a login, if one was asked for. */
  readonly secure?: { readonly port: number; readonly caFile: string };
}

/** What Redis is started with. */
export interface RedisSettings {
  /** What it holds at most, such as `64mb`. */
  readonly memory?: string;
  /** When it is full: `allkeys-lru` drops the oldest, `noeviction` refuses writes. */
  readonly policy?: string;
  /** A second listener with TLS; then this user alone is let in there and on the open one. */
  readonly login?: { readonly username: string; readonly password: string };
  /** Where it listened before. */
  readonly port?: number;
}

/** The program: the machine's own, or Debian's, unpacked into the cache. */
export function fetchRedis(): { command: string; env: Record<string, string> } {
  const own = spawnSync('redis-server', ['--version']);
  if (own.status === 0) return { command: 'redis-server', env: {} };
  // redis-server itself is a link to redis-check-rdb of the tools package.
  return fetchDebianProgram('redis', PACKAGES, 'usr/bin/redis-check-rdb');
}

/** Starts it in a folder. */
export async function startRedis(
  folder: string,
  { memory = '64mb', policy = 'allkeys-lru', login, port: given }: RedisSettings = {},
): Promise<RedisServer> {
  const { command, env } = fetchRedis();
  const [free, securePort] = (await freePorts(2)) as [number, number];
  const port = given ?? free;
  const secure = login && { port: securePort, ...makeCertificate(join(folder, 'redis-tls')) };
  const where = ['--port', String(port), '--bind', '127.0.0.1', '--dir', '.'];
  const keep = ['--save', '', '--appendonly', 'no'];
  const bounds = ['--maxmemory', memory, '--maxmemory-policy', policy];
  const args = [...where, ...keep, ...bounds, ...(login ? secureArguments(login, secure!) : [])];
  // The program looks at the name it was called by: as redis-server it serves.
  const process = startProcess({
    name: 'redis',
    folder: join(folder, 'redis'),
    command: 'bash',
    args: ['-c', 'exec -a redis-server "$0" "$@"', command, ...args],
    env,
  });
  await untilReady(process, () => answers('127.0.0.1', port), READY_MS);
  return { port, process, ...(secure && { secure }) };
}

function secureArguments(
  { username, password }: { username: string; password: string },
  { port, caFile, keyFile }: { port: number; caFile: string; keyFile: string },
): string[] {
  const files = [
    '--tls-cert-file',
    caFile,
    '--tls-key-file',
    keyFile,
    '--tls-ca-cert-file',
    caFile,
  ];
  const users = [
    '--user',
    'default',
    'off',
    '--user',
    username,
    'on',
    `>${password}`,
    '~*',
    '+@all',
  ];
  return ['--tls-port', String(port), ...files, '--tls-auth-clients', 'no', ...users];
}
