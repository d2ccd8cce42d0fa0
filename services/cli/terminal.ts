/** What the program prints: results on stdout, progress and errors on stderr. */
import { type ErrorCode, isLetheError } from '../../libs/base/lethe-error.ts';

/** Exit codes, as `docs/operating.md` lists them. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  erased: 4,
  notFound: 5,
  tampered: 6,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

// Of terminals, and what turns the direction of a line: each may hide what is written.
const CONTROLS = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** Text of others on one line: it moves no cursor and begins no line of its own. */
export function visible(text: string): string {
  return text.replace(CONTROLS, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** One result as it is printed: a JSON line with `--json`, else sentences. */
export function resultText(isJson: boolean, value: unknown, sentences: readonly string[]): string {
  const lines = sentences.flatMap((one) => one.split('\n'));
  const text = isJson ? JSON.stringify(value) : lines.map(visible).join('\n');
  return text === '' ? '' : `${text}\n`;
}

/** Prints one result that was made of nothing sealed; else see handed-output.ts. */
export function printResult(...result: Parameters<typeof resultText>): void {
  printText(resultText(...result));
}

/** Prints text that was made of nothing sealed. */
export function printText(text: string): void {
  if (text !== '') process.stdout.write(text);
}

/** Ends a command with a message and an exit code that is not 0. */
export class CommandEnd extends Error {
  readonly exitCode: ExitCode;
  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.name = 'CommandEnd';
    this.exitCode = exitCode;
  }
}

/** What JSON says of an end that no error of the product tells. */
const CODES: Readonly<Record<ExitCode, string>> = {
  0: 'DONE',
  1: 'FAILED',
  2: 'USAGE',
  3: 'REFUSED',
  4: 'ERASED_BEFORE',
  5: 'NOT_FOUND',
  6: 'TAMPERED',
};

const TAMPERED: readonly ErrorCode[] = [
  'EVENT_TAMPERED',
  'VAULT_TAMPERED',
  'ERASURES_TAMPERED',
  'SEGMENT_MISSING',
  'CERTIFICATE_INVALID',
];

const REFUSED: readonly ErrorCode[] = ['BACKUP_UNUSABLE', 'NAME_TAKEN'];
const USAGE: readonly ErrorCode[] = ['CONFIGURATION_INVALID', 'INPUT_INVALID'];

/** A reader that has seen enough (head, less) is no failure. */
export function isReaderGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'EPIPE';
}

/** Says what went wrong, without a stack trace and without data; the exit code. */
export function reportError(error: unknown, isJson: boolean): ExitCode {
  if (isReaderGone(error)) return exitCodes.done;
  const { code, message, exitCode } = explain(error);
  const text = isJson ? JSON.stringify({ error: { code, title: message } }) : `lethe: ${message}`;
  process.stderr.write(`${text}\n`);
  return exitCode;
}

function explain(error: unknown): { code: string; message: string; exitCode: ExitCode } {
  if (error instanceof CommandEnd) {
    const { exitCode, message } = error;
    return { code: CODES[exitCode], message, exitCode };
  }
  if (isLetheError(error)) {
    const { code, message } = error;
    return { code, message, exitCode: exitCodeOf(code) };
  }
  const denied = deniedFile(error);
  if (denied !== undefined) return { ...denied, exitCode: exitCodes.failed };
  const name = error instanceof Error ? error.name : 'Error';
  const system = (error as NodeJS.ErrnoException | undefined)?.code;
  const what = system === undefined ? name : `${name} ${system}`;
  const message = `an unexpected failure (${what}); set LETHE_LOG_LEVEL=debug for its trace`;
  if (process.env.LETHE_LOG_LEVEL === 'debug' && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`);
  }
  return { code: 'UNEXPECTED', message, exitCode: exitCodes.failed };
}

const DENIED: Readonly<Record<string, string>> = {
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EROFS: 'it lies on a disk that cannot be written',
};

/** What Node's file functions say of a path that is closed to this user. */
function deniedFile(error: unknown): { code: string; message: string } | undefined {
  const { code = '', path, syscall = 'use' } = (error ?? {}) as NodeJS.ErrnoException;
  const why = DENIED[code];
  if (why === undefined || path === undefined) return undefined;
  return { code: 'DENIED', message: `cannot ${syscall} ${path}: ${why} (${code})` };
}

function exitCodeOf(code: ErrorCode): ExitCode {
  if (TAMPERED.includes(code)) return exitCodes.tampered;
  if (REFUSED.includes(code)) return exitCodes.refused;
  return USAGE.includes(code) ? exitCodes.usage : exitCodes.failed;
}

const STANDS =
  'interrupted. What was asked for may stand, and is then finished by the privacy service, or by ' +
  'lethe serve when it starts. Ask again to see it done';

/** Awaits what may stand once it was asked for: whoever interrupts it is told so. */
export async function lasting<Result>(work: Promise<Result>): Promise<Result> {
  const interrupt = (signal: NodeJS.Signals) => {
    process.stderr.write(`lethe: ${STANDS}\n`);
    process.kill(process.pid, signal);
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.once(signal, interrupt);
  try {
    return await work;
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}

/** A line on a terminal that is written over; nothing where there is no terminal. */
export function createProgress(isJson: boolean) {
  const shown = process.stderr.isTTY === true && !isJson;
  let lastMs = 0;
  return {
    show(text: string): void {
      if (!shown || performance.now() - lastMs < 100) return;
      lastMs = performance.now();
      process.stderr.write(`\r\x1b[K${text}`);
    },
    clear(): void {
      if (shown) process.stderr.write('\r\x1b[K');
    },
  };
}
