/** The real server in a process of its own, for benchmarks. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environmentOf } from '../support/processes.ts';

export const PROGRAM = join(import.meta.dirname, '../../services/cli/main.ts');

/** Runs `lethe` to its end; its last line as JSON. */
export function runLethe(folder: string, args: readonly string[]): Promise<Record<string, never>> {
  return new Promise((resolve, reject) => {
    const env = environmentOf(folder);
    const child = spawn(process.execPath, [PROGRAM, ...args, '--json'], { env });
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += String(chunk);
    });
    child.stderr.pipe(process.stderr);
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(out.trim().split('\n').at(-1)!));
      else reject(new Error(`lethe ${args[0]} ended with ${code}`));
    });
  });
}

export function newBenchFolder(): { folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'lethe-bench-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A server over the store in a folder. */
export async function startBenchServer(folder: string) {
  const app = (await runLethe(folder, ['apps', 'list'])).apps!['0'] as { id: string };
  const made = await runLethe(folder, ['keys', 'create', '--app', app.id]);
  const { id, secret } = made.key as unknown as { id: string; secret: string };
  const started = performance.now();
  const child = spawn(process.execPath, [PROGRAM, 'serve', '--json'], {
    env: environmentOf(folder),
  });
  child.stderr.pipe(process.stderr);
  const line = await new Promise<string>((resolve) => {
    child.stdout.once('data', (chunk) => resolve(String(chunk)));
  });
  const readyMs = Math.round(performance.now() - started);
  return {
    address: JSON.parse(line).listening as string,
    appPath: `/v2/apps/${app.id}`,
    authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`,
    readyMs,
    async stop() {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGTERM');
      await ended;
    },
  };
}
