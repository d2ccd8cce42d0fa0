/** Notices when files of the store are moved away under a process that has them open. */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileFailure } from '../../libs/base/durable-file.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import type { Part, PartFailure } from './serve-parts.ts';

const LOOK_INTERVAL_MS = 250;
/** Processes that have a database open share what SQLite keeps beside it. */
const ENDS = ['', '-wal', '-shm'];

/**
 * A part that fails when one of these is, which this process has open. What is written into it from
 * then on is in no store, and what another process erases can still be read through it.
 */
export function watchFiles(files: readonly string[]): Part {
  const opened = files
    .flatMap((file) => ENDS.map((end) => file + end))
    .map((file) => ({ file, ...identityOf(file) }));
  let timer: NodeJS.Timeout | undefined;
  let fail: (failure: PartFailure) => void = () => undefined;
  const failed = new Promise<PartFailure>((resolve) => {
    fail = resolve;
  });
  const look = () => {
    const moved = opened.find((one) => {
      const now = identityOf(one.file);
      // What is beside a database comes with its first use.
      if (one.ino === 0) Object.assign(one, now);
      return now.dev !== one.dev || now.ino !== one.ino;
    });
    if (moved === undefined) return;
    clearInterval(timer);
    const text = `${moved.file} was moved away or replaced while this process had it open`;
    fail({ part: 'the store', error: new LetheError('STATE_UNREACHABLE', text) });
  };
  return {
    failed,
    start() {
      timer = setInterval(look, LOOK_INTERVAL_MS).unref();
    },
    async stop() {
      clearInterval(timer);
    },
  };
}

/** Throws STATE_UNREACHABLE: this process may not write a file that is there, or its folder. */
export function assertWritable(files: readonly string[]): void {
  const there = files.flatMap((file) => [dirname(file), ...ENDS.map((end) => file + end)]);
  for (const path of new Set(there)) {
    if (!existsSync(path)) continue;
    try {
      accessSync(path, constants.W_OK);
    } catch (cause) {
      throw fileFailure(cause, 'STATE_UNREACHABLE', `cannot write ${path}: this user may not`);
    }
  }
}

function identityOf(file: string): { dev: number; ino: number } {
  const { dev = 0, ino = 0 } = statSync(file, { throwIfNoEntry: false }) ?? {};
  return { dev, ino };
}
