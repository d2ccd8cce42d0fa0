/** `GET /v2/apps/{appId}/stream`: server-sent events (HTML Living Standard, section 9.2). */
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Type } from 'typebox';
import type { AccessKeys } from '../../libs/access/access-keys.ts';
import type { AppId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import type { AppCursors } from '../../libs/event-log/log-cursors.ts';
import type { WakeSignal } from '../../libs/event-log/wake-signal.ts';
import type { HandedAnswers } from '../../libs/http/handed-answers.ts';
import type { HttpServer } from '../../libs/http/http-server.ts';
import { AppParameters } from '../../libs/http/route-parameters.ts';
import { type NotedUse, noteUse } from '../../libs/keyring/noted-use.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';
import {
  nextStreamEvents,
  readOffsets,
  type SealedStreamEvent,
  type StreamPlace,
  sealOffsets,
} from './live-stream.ts';

const LOOK_INTERVAL_MS = 250;
const OPEN_ATTEMPTS_MAX = 5;
const KEEP_ALIVE_MS = 15_000;
// Whoever was let in is asked for again: a revoked key's streams end within a second.
const RECOGNISE_INTERVAL_MS = 500;

/** Adds the route; open streams end when `signal` is aborted. */
export function addStreamRoute(
  server: HttpServer,
  powers: ReaderPowers,
  running: {
    wake: WakeSignal;
    accessKeys: AccessKeys;
    answers: HandedAnswers;
    signal: AbortSignal;
  },
): void {
  server.get(
    '/v2/apps/:appId/stream',
    {
      // Of a stream there is no head alone: it would be kept open for nothing.
      exposeHeadRoute: false,
      schema: {
        summary: 'Events as they happen, removals included; resume with Last-Event-ID',
        tags: ['stream'],
        params: AppParameters,
        querystring: Type.Object({
          from: Type.Optional(Type.Enum(['start', 'now'], { description: 'default now' })),
        }),
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const { raw } = reply;
      const closed = new AbortController();
      raw.on('close', () => closed.abort());
      raw.on('error', () => closed.abort());
      const cursors = await powers.cursors.of(app);
      const { offsets, isReset } = await startOf(powers, cursors, {
        lastEventId: request.headers['last-event-id'],
        from: request.query.from,
      });
      reply.hijack();
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        connection: 'keep-alive',
        // nginx would keep events back until they fill its buffer.
        'x-accel-buffering': 'no',
      });
      raw.write(`retry: 1000\nid: ${sealOffsets(cursors, offsets)}\n${isReset ? RESET : ''}\n`);
      const signal = AbortSignal.any([running.signal, closed.signal]);
      const report = (error: unknown) => {
        const code = error instanceof Error ? error.name : 'Error';
        request.log.error({ route: 'stream', code });
      };
      const isAllowed = async () => {
        const principal = await running.accessKeys.recognise(request.headers.authorization);
        return principal !== undefined && (await powers.apps.find(app)) !== undefined;
      };
      // Beside the stream, not in it: a client that reads slowly, or has much to read, ends too.
      const watch = async () => {
        do await sleep(RECOGNISE_INTERVAL_MS, undefined, { signal });
        while (await isAllowed());
      };
      void watch()
        .catch((error) => signal.aborted || report(error))
        .then(() => signal.aborted || running.answers.end(request));
      const write: WriteEvent = (text, opened) =>
        writeOut(raw, text, opened && running.answers.keep(request, opened));
      const place = { app, cursors, offsets };
      await stream({ powers, place, wake: running.wake, signal, write }).catch(report);
      closed.abort();
      // Nobody asks anything more of a server that ends, and it would wait for that.
      raw.end(() => running.signal.aborted && request.raw.socket.destroy());
    },
  );
}

/**
 * A cursor of another store, or ahead of the log, as one is after a restore: what its consumer has
 * may be erased, or was never here. It goes on from now, and is to read all else anew.
 */
const RESET = `event: stream:reset\ndata: ${JSON.stringify({
  type: 'stream:reset',
  payload: { purge: 'all' },
})}\n`;

async function startOf(
  powers: ReaderPowers,
  cursors: AppCursors,
  asked: { lastEventId: string | string[] | undefined; from: string | undefined },
): Promise<{ offsets: number[]; isReset: boolean }> {
  // Browsers send an empty one before the first event.
  const cursor = asked.lastEventId ? String(asked.lastEventId) : undefined;
  const known = cursor === undefined ? undefined : await readOffsets(powers, cursors, cursor);
  if (known !== undefined) return { offsets: known, isReset: false };
  if (cursor === undefined && asked.from === 'start') {
    return { offsets: new Array<number>(powers.log.partitions).fill(0), isReset: false };
  }
  return { offsets: await powers.log.endOffsets(), isReset: cursor !== undefined };
}

/** Writes text; `opened` is what it was opened with, and may be handed on at that moment. */
export type WriteEvent = (text: string, opened?: NotedUse) => Promise<void> | undefined;

/** Writes and waits while the client is slow, so that memory stays bounded. */
function writeOut(
  raw: ServerResponse,
  text: string,
  handed: () => void = () => undefined,
): Promise<void> | undefined {
  // What was destroyed drains no more, and may have said that it closed.
  if (raw.write(text, handed) || raw.destroyed) return undefined;
  return new Promise((resolve) => {
    const goOn = () => {
      raw.off('drain', goOn).off('close', goOn);
      resolve();
    };
    raw.on('drain', goOn).on('close', goOn);
  });
}

async function stream(session: {
  powers: ReaderPowers;
  place: StreamPlace;
  wake: WakeSignal;
  signal: AbortSignal;
  write: WriteEvent;
}): Promise<void> {
  const { powers, place, wake, signal, write } = session;
  let spokenMs = performance.now();
  while (!signal.aborted) {
    const mark = wake.mark();
    let count = 0;
    for await (const event of nextStreamEvents(powers, place)) {
      if (signal.aborted) return;
      count += 1;
      if (await handOn(powers, event, write)) spokenMs = performance.now();
    }
    if (performance.now() - spokenMs > KEEP_ALIVE_MS) {
      spokenMs = performance.now();
      await write(`id: ${sealOffsets(place.cursors, place.offsets)}\n: still here\n\n`);
    }
    if (count === 0) await wake.wait(mark, LOOK_INTERVAL_MS);
  }
}

/**
 * Opens an event and writes it, if what it was opened with still stands at that very moment; else
 * it is opened again. False: there is nothing to tell of it any more.
 */
export async function handOn(
  powers: ReaderPowers,
  event: SealedStreamEvent,
  write: WriteEvent,
): Promise<boolean> {
  const { keyring } = powers;
  for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX; attempt += 1) {
    const noted = noteUse(powers);
    const own = { ...powers, keyring: noted.keyring, sealer: noted.sealer };
    const opened = await event.open(own);
    if (opened === undefined) return false;
    const { type } = opened;
    const text = `id: ${event.cursor}\nevent: ${type}\ndata: ${JSON.stringify(opened)}\n\n`;
    if (keyring.vouches(noted.usedRings())) {
      await write(text, noted);
      return true;
    }
    await keyring.renewLease();
  }
  throw new LetheError('CONTENDED', 'rings change too fast: resume', { retryable: true });
}
