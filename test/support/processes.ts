/** Real processes of the product, for drills that kill them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { storeVariables } from './temporary-store.ts';

const ROOT = join(import.meta.dirname, '../..');
const PROGRAM = join(ROOT, 'services/cli/main.ts');
// Drills start hundreds of processes: compiled once for all, each needs half of the time to start.
const COMPILED = join(tmpdir(), 'lethe-test-compiled');

/** The environment of a store in a folder, and nothing else of Lethe. */
export function environmentOf(folder: string, more: Record<string, string> = {}) {
  const aws = Object.entries(process.env).filter(([name]) => name.startsWith('AWS_'));
  const own = { PATH: process.env.PATH, NODE_COMPILE_CACHE: COMPILED };
  return { ...own, ...Object.fromEntries(aws), ...storeVariables(folder), ...more };
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves with what was printed so far, as soon as it holds the text. */
  printed(text: string): Promise<string>;
  /** The same of what it wrote to its standard error. */
  warned(text: string): Promise<string>;
}

/** Starts a script of the checkout with this Node; it does not outlive the test. */
export function startScript(...given: Parameters<typeof startProcess>): Running {
  const running = startProcess(...given);
  onTestFinished(() => void running.child.kill('SIGKILL'));
  return running;
}

/** Starts a script; who starts it ends it. */
export function startProcess(
  script: string,
  args: readonly string[],
  env: Record<string, string | undefined>,
  cwd = ROOT,
): Running {
  const child = spawn(process.execPath, [script, ...args], { env, cwd });
  let out = '';
  let err = '';
  const listeners = new Set<() => void>();
  child.stdout.on('data', (chunk) => {
    out += String(chunk);
    for (const listener of listeners) listener();
  });
  child.stderr.on('data', (chunk) => {
    err += String(chunk);
    for (const listener of listeners) listener();
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => {
      resolve({ code, signal, out, err });
      for (const listener of listeners) listener();
    });
  });
  const untilSaid = (said: () => string, text: string) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        if (said().includes(text)) resolve(said());
        else if (child.exitCode !== null) reject(new Error(`it ended: ${err}`));
      };
      listeners.add(look);
      look();
    });
  return {
    child,
    ended,
    printed: (text) => untilSaid(() => out, text),
    warned: (text) => untilSaid(() => err, text),
  };
}

/** Starts `lethe` with arguments. */
export function startLethe(
  folder: string,
  args: readonly string[],
  more: Record<string, string> = {},
): Running {
  return startScript(PROGRAM, args, environmentOf(folder, more));
}

/** Runs `lethe` to its end and parses the last line it printed. */
export async function lethe(
  folder: string,
  args: readonly string[],
  more: Record<string, string> = {},
  // biome-ignore lint/suspicious/noExplicitAny: results are compared, not computed with
): Promise<Ended & { json: any }> {
  const ended = await startLethe(folder, [...args, '--json'], more).ended;
  const last = ended.out.trim().split('\n').at(-1) ?? '';
  return { ...ended, json: last.startsWith('{') ? JSON.parse(last) : undefined };
}
