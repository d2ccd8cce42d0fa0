/**
 * Reads events out of files or stdin, plain or gzip, line by line in bounded memory. A line that is
 * too long is passed over as one bad line; nothing of a line is ever part of a message.
 */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { readExactJson } from '../../libs/codec/exact-json.ts';

/** One event of the input, or what is wrong with its line. */
export type EventLine =
  | {
      readonly file: string;
      readonly line: number;
      readonly index?: number;
      readonly event: unknown;
    }
  | {
      readonly file: string;
      readonly line: number;
      readonly field: string;
      readonly expected: string;
    };

export const LINE_BYTES_MAX = 1_048_576;
const NEWLINE = 0x0a;
/** Spaces, as JSON has them. */
const BLANK = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** All events of a file; `-` is stdin. */
export async function* readEventLines(file: string): AsyncGenerator<EventLine> {
  const input: Readable = file === '-' ? process.stdin : createReadStream(file);
  let line = 0;
  let lastLine = 0;
  try {
    for await (const found of splitLines(decompress(input))) {
      line = found.line;
      lastLine = line;
      const bad = (field: string, expected: string) => ({
        file,
        line: found.line,
        field,
        expected,
      });
      if (found.bytes === 'too long') {
        yield bad('', `a line of at most ${LINE_BYTES_MAX} bytes`);
        continue;
      }
      yield* parseLine(found.bytes, { file, line, bad });
    }
    if (lastLine === 0) yield { file, line: 0, field: '', expected: 'events; the file is empty' };
  } catch (error) {
    yield { file, line: line + 1, field: '', expected: explainRead(error) };
  }
}

function* parseLine(
  bytes: Buffer,
  place: { file: string; line: number; bad: (field: string, expected: string) => EventLine },
): Generator<EventLine> {
  const { file, line, bad } = place;
  if (bytes.every((byte) => BLANK.has(byte))) return;
  const read = readExactJson(bytes);
  if ('problem' in read) yield bad('', `one JSON object (or an array of them): ${read.problem}`);
  else if (!Array.isArray(read.value)) yield { file, line, event: read.value };
  else for (const [index, event] of read.value.entries()) yield { file, line, index, event };
}

function explainRead(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'ENOENT') return 'a file; there is none of this name';
  if (code === 'EISDIR') return 'a file; this is a folder';
  if (code === 'EACCES') return 'a file that may be read';
  if (code.startsWith('Z_') || code.startsWith('ERR_')) {
    return 'intact gzip data; it is damaged or cut off here';
  }
  return `a readable file (${code || 'unknown failure'})`;
}

async function* decompress(input: Readable): AsyncGenerator<Buffer> {
  const chunks = input[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const first = await chunks.next();
  if (first.done) return;
  const rest = (async function* () {
    yield first.value;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
  })();
  if (first.value[0] !== 0x1f || first.value[1] !== 0x8b) {
    yield* rest;
    return;
  }
  const gunzip = createGunzip();
  const feed = (async () => {
    try {
      for await (const chunk of rest) {
        if (!gunzip.write(chunk)) await new Promise((resolve) => gunzip.once('drain', resolve));
      }
      gunzip.end();
    } catch (error) {
      gunzip.destroy(error as Error);
    }
  })();
  yield* gunzip as AsyncIterable<Buffer>;
  await feed;
}

interface Line {
  readonly line: number;
  readonly bytes: Buffer | 'too long';
}

async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Line> {
  let line = 0;
  let parts: Buffer[] = [];
  let size = 0;
  const take = (last: Buffer): Line => {
    line += 1;
    const bytes = size + last.length > LINE_BYTES_MAX ? 'too long' : joined(parts, last);
    parts = [];
    size = 0;
    return { line, bytes };
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, from);
      if (end < 0) break;
      yield take(chunk.subarray(from, end));
      from = end + 1;
    }
    const rest = chunk.subarray(from);
    // The rest of a line that is too long already is counted, not kept.
    if (size <= LINE_BYTES_MAX) parts.push(rest);
    size += rest.length;
  }
  if (size > 0) yield take(Buffer.alloc(0));
}

function joined(parts: readonly Buffer[], last: Buffer): Buffer {
  return parts.length === 0 ? last : Buffer.concat([...parts, last]);
}
