/** The REST interface, asked as a client asks it. */
import { onTestFinished } from 'vitest';
import type { Clock } from '../../libs/base/clock.ts';
import { startServer } from '../../services/server/serve.ts';
import { openTestStore, type TestStore } from './temporary-store.ts';

/** An app's REST interface, on a server and a store of its own. */
export interface Door {
  readonly store: TestStore;
  readonly base: string;
  readonly key: { id: string; secret: string };
  call(method: string, path: string, body?: unknown, headers?: object): Promise<Answer>;
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
  const store = await openTestStore(clock && { clock });
  const { accessKeys } = store.backends.administration();
  const key = await accessKeys.create({ app: store.app.id, scope: 'app', nowMs: 1 });
  const server = await startServer(store);
  onTestFinished(() => server.stop());
  const basic = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  const base = `${server.address}/v2/apps/${store.app.id}`;
  return {
    store,
    base,
    key,
    async call(method, path, body, headers = {}) {
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
  };
}

/** The header that makes a read see what was just written. */
export const seeing = (answer: Answer) => ({
  'lethe-wait-for': answer.headers.get('lethe-position') ?? '',
});
