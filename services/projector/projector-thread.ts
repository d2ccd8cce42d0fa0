/**
 * The projector on a thread of its own: it opens the log and the views itself and never touches the
 * vault. The main thread starts it with `startProjectorThread`.
 */
import { parentPort, Worker, workerData } from 'node:worker_threads';
import type { Configuration } from '../../libs/backends/configuration.ts';
import { openProjectorBackends } from '../../libs/backends/open-backends.ts';
import { createWakeSignal, type WakeSignal } from '../../libs/event-log/wake-signal.ts';
import { runProjector } from './project.ts';

interface ThreadData {
  readonly role: 'lethe-projector';
  readonly configuration: Configuration;
  readonly wakeMemory: SharedArrayBuffer;
}

/** A projector that runs. */
export interface ProjectorThread {
  /** Ends it after the batch under way. */
  stop(): Promise<void>;
  /** Settles when the thread ends; rejects when it failed. */
  readonly ended: Promise<void>;
}

/** Starts the thread. */
export function startProjectorThread(
  configuration: Configuration,
  wake: WakeSignal,
): ProjectorThread {
  const data: ThreadData = { role: 'lethe-projector', configuration, wakeMemory: wake.memory };
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
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
      await ended;
    },
  };
}

async function main(data: ThreadData): Promise<void> {
  const wake = createWakeSignal(data.wakeMemory);
  const stop = new AbortController();
  parentPort!.once('message', () => stop.abort());
  const powers = openProjectorBackends(data.configuration, wake);
  try {
    await runProjector(powers, stop.signal);
  } finally {
    powers.close();
  }
}

const data = workerData as Partial<ThreadData> | null;
if (parentPort !== null && data?.role === 'lethe-projector') await main(data as ThreadData);
