/** nginx on loopback with the configuration of `infra/proxy`, from Debian's package. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchDebianProgram } from './downloads.ts';
import {
  answers,
  freePorts,
  type ServerProcess,
  startProcess,
  untilReady,
} from './server-process.ts';

const CONFIGURATION = join(import.meta.dirname, '../../infra/proxy/nginx.conf');
// What Debian's nginx links to beyond the C library.
const PACKAGES = ['nginx', 'libpcre2-8-0', 'libssl3', 'libcrypt1', 'zlib1g'];
const READY_MS = 10_000;

/** Starts it before services at these addresses (`http://host:port`). */
export async function startNginx(
  folder: string,
  services: Readonly<Record<'ingest' | 'reader' | 'privacy', string>>,
): Promise<{ url: string; process: ServerProcess }> {
  const [port] = (await freePorts(1)) as [number];
  const own = join(folder, 'nginx');
  mkdirSync(join(own, 'logs'), { recursive: true });
  let text = readFileSync(CONFIGURATION, 'utf8');
  for (const [name, url] of Object.entries(services)) {
    text = text.replace(`server ${name}:8080;`, `server ${new URL(url).host};`);
  }
  // What the image has at fixed places lies in the folder here.
  text = text.replace('listen 8080', `listen 127.0.0.1:${port}`);
  text = text.replace('/tmp/nginx.pid', join(own, 'nginx.pid'));
  for (const kind of ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']) {
    text = text.replace('http {', `http {\n  ${kind}_temp_path ${own}/${kind};`);
  }
  const file = join(own, 'nginx.conf');
  writeFileSync(file, text);
  const process = startProcess({
    name: 'nginx',
    folder: own,
    ...fetchNginx(),
    args: ['-p', own, '-c', file, '-g', 'daemon off; master_process off;'],
  });
  await untilReady(process, () => answers('127.0.0.1', port), READY_MS);
  return { url: `http://127.0.0.1:${port}`, process };
}

/** The program: the machine's own, or Debian's, unpacked into the cache. */
function fetchNginx(): { command: string; env: Record<string, string> } {
  if (spawnSync('nginx', ['-v']).status === 0) return { command: 'nginx', env: {} };
  return fetchDebianProgram('nginx', PACKAGES, 'usr/sbin/nginx');
}
