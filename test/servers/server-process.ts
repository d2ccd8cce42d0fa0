/**
 * A server as a process of its own: it outlives whoever started it, and is known by its pid and the
 * moment it started, so that no other process that was given the same pid is ever ended.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A started process. */
export interface ServerProcess {
  readonly name: string;
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: with the pid it names one process while the machine runs. */
  readonly startedAt: string;
  readonly logFile: string;
}

/** What is started. */
export interface ServerCommand {
  readonly name: string;
  /** A folder of its own, which holds the log. */
  readonly folder: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const LOOK_MS = 50;
const STOP_MS = 15_000;

/** Starts a process in a group of its own, its output in a file. */
export function startProcess(of: ServerCommand): ServerProcess {
  mkdirSync(of.folder, { recursive: true });
  const logFile = join(of.folder, 'out.log');
  const out = openSync(logFile, 'a');
  const child = spawn(of.command, of.args, {
    cwd: of.folder,
    env: { ...process.env, ...of.env },
    stdio: ['ignore', out, out],
    detached: true,
  });
  child.unref();
  if (child.pid === undefined) throw new Error(`${of.name}: cannot start ${of.command}`);
  return { name: of.name, pid: child.pid, startedAt: startOf(child.pid) ?? '', logFile };
}

/** Does it still run? */
export function isRunning({ pid, startedAt }: ServerProcess): boolean {
  return startOf(pid) === startedAt;
}

/** Ends processes: SIGTERM to all, SIGKILL to those that stay. */
export async function stopProcesses(processes: readonly ServerProcess[]): Promise<void> {
  const signalAll = (signal: NodeJS.Signals) => {
    for (const one of processes) if (isRunning(one)) process.kill(one.pid, signal);
  };
  signalAll('SIGCONT');
  signalAll('SIGTERM');
  const deadline = performance.now() + STOP_MS;
  while (processes.some(isRunning)) {
    if (performance.now() > deadline) signalAll('SIGKILL');
    await sleep(LOOK_MS);
  }
}

/** Waits until `isReady`; throws with the end of the log when the process ends or time is over. */
export async function untilReady(
  of: ServerProcess,
  isReady: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isReady())) {
    const why = !isRunning(of)
      ? 'ended'
      : performance.now() > deadline
        ? 'is not ready'
        : undefined;
    if (why !== undefined) throw new Error(`${of.name} ${why}; its log ends so:\n${logEnd(of)}`);
    await sleep(LOOK_MS);
  }
}

/** Has the process written this? */
export function hasLogged({ logFile }: ServerProcess, text: string): boolean {
  return existsSync(logFile) && readFileSync(logFile, 'utf8').includes(text);
}

/** Does something listen there? */
export function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

/** Ports that nobody listens on now, all different. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map((server) => {
      return new Promise<number>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, host, () => resolve((server.address() as { port: number }).port));
      });
    }),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A process that has ended and was not waited for is gone for us.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function logEnd({ logFile }: ServerProcess): string {
  return existsSync(logFile) ? readFileSync(logFile, 'utf8').slice(-3_000) : '(no log)';
}
