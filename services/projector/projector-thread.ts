/**
 * The projector on a thread of its own: it opens the log and the views itself and never touches the
 * vault. The main thread starts it with `startProjectorThread`.
 */
import { parentPort, Worker, workerData } from 'node:worker_threads';
import type { LetheError } from '../../libs/base/lethe-error.ts';
import { startTracing } from '../../libs/engines/tracing.ts';
import { createWakeSignal, type WakeSignal } from '../../libs/event-log/wake-signal.ts';
import { runProjector, untilAborted } from '../../libs/projection/project.ts';
import {
  openProjectorBackends,
  type ProjectorConfiguration,
} from '../../libs/wiring/open-projector.ts';

interface ThreadData {
  readonly role: 'lethe-projector';
  readonly configuration: ProjectorConfiguration;
  readonly wakeMemory: SharedArrayBuffer;
}

/** How long a batch under way is waited for, and one whose engine was just seen to be away. */
const STOP_MS = { working: 10_000, inTrouble: 3_000 };
const TROUBLE_MS = 15_000;
const OPENS = /^(LETHE|AWS)_/;

/** A projector that runs. */
export interface ProjectorThread {
  /** Ends it after the batch under way; one that waits for an engine is not waited for long. */
  stop(): Promise<void>;
  /** Settles when the thread ends; rejects when it failed. */
  readonly ended: Promise<void>;
}

/** Starts the thread; `onTrouble` hears the codes of engines that it waits for. */
export function startProjectorThread(
  configuration: ProjectorConfiguration,
  wake: WakeSignal,
  onTrouble: (code: string) => void = () => undefined,
): ProjectorThread {
  const { log, views } = configuration;
  const own = { log, views };
  const data: ThreadData = { role: 'lethe-projector', configuration: own, wakeMemory: wake.memory };
  // It shares the process with services that hold keys, but is handed nothing that opens any.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OPENS.test(name)));
  const worker = new Worker(new URL(import.meta.url), { workerData: data, env });
  let troubleAtMs = Number.NEGATIVE_INFINITY;
  worker.on('message', (code: string) => {
    troubleAtMs = performance.now();
    onTrouble(code);
  });
  const ended = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => resolve());
  });
  ended.catch(() => undefined);
  return {
    ended,
    async stop() {
      worker.postMessage('stop');
      wake.notify();
      // What it was writing it writes again after a start.
      const isInTrouble = performance.now() - troubleAtMs < TROUBLE_MS;
      const waitMs = isInTrouble ? STOP_MS.inTrouble : STOP_MS.working;
      const late = setTimeout(() => void worker.terminate(), waitMs);
      await ended.finally(() => clearTimeout(late));
    },
  };
}

async function main(data: ThreadData): Promise<void> {
  const wake = createWakeSignal(data.wakeMemory);
  const stop = new AbortController();
  parentPort!.once('message', () => stop.abort());
  const endTracing = await startTracing(process.env);
  const { signal } = stop;
  const onTrouble = ({ code }: LetheError) => parentPort!.postMessage(code);
  try {
    // Its engines may go between the start of the process and that of this thread.
    await untilAborted({ signal, onTrouble }, async () => {
      const powers = await openProjectorBackends(data.configuration, wake);
      await runProjector(powers, signal, onTrouble).finally(() => powers.close());
    });
  } finally {
    await endTracing();
  }
}

const data = workerData as Partial<ThreadData> | null;
if (parentPort !== null && data?.role === 'lethe-projector') await main(data as ThreadData);
