/** The REST interface, asked as a client asks it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import type { Clock } from '../../libs/base/clock.ts';
import { startServer } from '../../services/server/serve.ts';
import type { ServiceName } from '../../services/server/serve-parts.ts';
import { openTestStore, type TestStore } from './temporary-store.ts';

const VIEWS_WAIT_MS = 30_000;

/** An app's REST interface, on a server and a store of its own. */
export interface Door {
  readonly store: TestStore;
  readonly base: string;
  readonly key: { id: string; secret: string };
  /** Asks again while the views are behind what was waited for; `callOnce` does not. */
  call(...request: Asked): Promise<Answer>;
  callOnce(...request: Asked): Promise<Answer>;
  /** Ends the server, and leaves the store open. */
  stop(): Promise<void>;
  /** Opens the stream; it ends with the test. */
  stream(query?: string, headers?: object): Promise<Stream>;
}

type Asked = [method: string, path: string, body?: unknown, headers?: object];

/** An open stream. */
export interface Stream {
  /** Waits for text; everything since the last time. */
  until(wanted: string): Promise<string>;
  /** The newest id. */
  readonly lastId: string;
  end(): void;
}

/** What came back; the body as JSON where it is. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared, not computed with
  readonly body: any;
}

/** Opens it; it ends with the test. `clock`: of the store. */
export async function openDoor(clock?: Pick<Clock, 'nowMs'>): Promise<Door> {
  return doorOf(await openTestStore(clock && { clock }));
}

/** The same for a store that is open already; `services`: all, unless it is said. */
export async function doorOf(store: TestStore, services?: readonly ServiceName[]): Promise<Door> {
  const { accessKeys } = store.backends.administration();
  const key = await accessKeys.create({ app: store.app.id, scope: 'app', nowMs: 1 });
  const server = await startServer(store, services);
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= server.stop());
  onTestFinished(stop);
  const basic = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  const base = `${server.address}/v2/apps/${store.app.id}`;
  return {
    store,
    base,
    key,
    stop,
    async call(this: Door, ...given) {
      // As a client does that is told to come again: a projector on servers takes seconds to begin.
      for (const untilMs = performance.now() + VIEWS_WAIT_MS; ; await sleep(200)) {
        const answer = await this.callOnce(...given);
        const isBehind = answer.status === 503 && answer.body.errors?.[0]?.code === 'views_behind';
        if (!isBehind || performance.now() > untilMs) return answer;
      }
    },
    async callOnce(method, path, body, headers = {}) {
      const answer = await fetch(path.startsWith('http') ? path : base + path, {
        method,
        headers: {
          authorization: basic,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && {
          body: typeof body === 'string' ? body : JSON.stringify(body),
        }),
      });
      const text = await answer.text();
      const parsed = text.startsWith('{') ? JSON.parse(text) : text;
      return { status: answer.status, headers: answer.headers, body: parsed };
    },
    async stream(query = '', headers = {}) {
      const stop = new AbortController();
      onTestFinished(() => stop.abort());
      const answer = await fetch(`${base}/stream${query}`, {
        headers: { authorization: basic, ...headers },
        signal: stop.signal,
      });
      expect(answer.status).toBe(200);
      const reader = answer.body!.getReader();
      let lastId = '';
      return {
        async until(wanted) {
          let text = '';
          while (!text.includes(wanted) || !text.endsWith('\n\n')) {
            const { value, done } = await reader.read();
            if (done) throw new Error('the stream ended');
            text += Buffer.from(value).toString();
          }
          lastId = [...text.matchAll(/^id: (.+)$/gm)].at(-1)?.[1] ?? lastId;
          return text;
        },
        get lastId() {
          return lastId;
        },
        end: () => stop.abort(),
      };
    },
  };
}

/** The header that makes a read see what was just written. */
export const seeing = (answer: Answer) => ({
  'lethe-wait-for': answer.headers.get('lethe-position') ?? '',
});
