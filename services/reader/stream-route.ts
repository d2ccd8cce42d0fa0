/** `GET /v2/apps/{appId}/stream`: server-sent events (HTML Living Standard, section 9.2). */
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Type } from 'typebox';
import type { AccessKeys } from '../../libs/access/access-keys.ts';
import type { AppId } from '../../libs/base/ids.ts';
import type { AppCursors } from '../../libs/event-log/log-cursors.ts';
import type { WakeSignal } from '../../libs/event-log/wake-signal.ts';
import { StreamAnswer } from '../../libs/http/answers.ts';
import type { HandedAnswers } from '../../libs/http/handed-answers.ts';
import { HttpError } from '../../libs/http/http-error.ts';
import type { HttpServer } from '../../libs/http/http-server.ts';
import { AppParameters } from '../../libs/http/route-parameters.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';
import { readOffsets, sealOffsets } from './live-stream.ts';
import { StreamHub, type WriteEvent } from './stream-hub.ts';

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
  const hub = new StreamHub(powers, running.wake);
  const counts = new StreamCounts();
  server.get(
    '/v2/apps/:appId/stream',
    {
      // Of a stream there is no head alone: it would be kept open for nothing.
      exposeHeadRoute: false,
      schema: {
        summary: 'Events as they happen, removals included; resume with Last-Event-ID',
        tags: ['stream'],
        params: AppParameters,
        response: { 200: StreamAnswer },
        querystring: Type.Object({
          from: Type.Optional(Type.Enum(['start', 'now'], { description: 'default now' })),
        }),
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const { raw } = reply;
      const closed = new AbortController();
      counts.add(request.principal!.keyId, raw);
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
      await hub.serve({ app, cursors, offsets, write, signal }).catch(report);
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

/** How many streams may be open: each holds a connection, and what its client has not taken. */
const OF_ONE_KEY_MAX = 500;
const OF_ALL_MAX = 2_000;

/** The open streams of this process, by the key that opened them. */
class StreamCounts {
  readonly #byKey = new Map<string, number>();
  #all = 0;

  /** Counts a stream until it is closed. Throws 429, and 503 where all are too many. */
  add(key: string, stream: ServerResponse): void {
    if ((this.#byKey.get(key) ?? 0) >= OF_ONE_KEY_MAX) {
      const title = `This key has ${OF_ONE_KEY_MAX} streams open: close some first`;
      throw new HttpError(429, 'too_many_streams', title, { retryAfterSeconds: 10 });
    }
    if (this.#all >= OF_ALL_MAX) {
      const title = 'Too many streams are open here: try again, or elsewhere';
      throw new HttpError(503, 'overloaded', title, { retryAfterSeconds: 10 });
    }
    this.#change(key, 1);
    stream.once('close', () => this.#change(key, -1));
  }

  #change(key: string, by: number): void {
    const count = (this.#byKey.get(key) ?? 0) + by;
    if (count > 0) this.#byKey.set(key, count);
    else this.#byKey.delete(key);
    this.#all += by;
  }
}

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
