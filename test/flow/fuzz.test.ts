import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startServer } from '../../services/server/serve.ts';
import { received } from '../support/events.ts';
import { openTestStore } from '../support/temporary-store.ts';

const DOCUMENTED = new Set([200, 201, 400, 401, 403, 404, 409, 413, 415]);

async function openDoor() {
  const store = await openTestStore();
  const { accessKeys } = store.backends.administration();
  const key = await accessKeys.create({ app: store.app.id, scope: 'app', nowMs: 1 });
  const server = await startServer(store);
  onTestFinished(() => server.stop());
  const authorization = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  return async (method: string, path: string, body: string | undefined) => {
    const answer = await fetch(`${server.address}/v2/apps/${store.app.id}${path}`, {
      method,
      headers: { authorization, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body }),
    });
    return { status: answer.status, text: await answer.text() };
  };
}

/** Valid events with one value somewhere replaced by anything. */
const almostEvent = fc.tuple(fc.nat(20), fc.jsonValue({ maxDepth: 3 })).map(([at, value]) => {
  const event = structuredClone(received('ann', 'text', { id: `fuzz-${at}` }));
  const spots: [object, string][] = [];
  const walk = (node: object) => {
    for (const [name, child] of Object.entries(node)) {
      spots.push([node, name]);
      if (typeof child === 'object' && child !== null) walk(child);
    }
  };
  walk(event);
  const [node, name] = spots[at % spots.length]!;
  (node as Record<string, unknown>)[name] = value;
  return event;
});

describe('whatever is sent', () => {
  it('the event door answers documented statuses only, never 500', async () => {
    const call = await openDoor();
    const body = fc.oneof(
      fc.json(),
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.array(almostEvent, { maxLength: 4 }).map((events) => JSON.stringify(events)),
      almostEvent.map((event) => JSON.stringify(event)),
    );
    await fc.assert(
      fc.asyncProperty(body, async (sent) => {
        const { status } = await call('POST', '/events', sent);
        expect(DOCUMENTED.has(status), `${status}`).toBe(true);
      }),
      { numRuns: 300, seed: 7 },
    );
  });

  it('the REST doors answer documented statuses only, and JSON errors', async () => {
    const call = await openDoor();
    const segment = fc.oneof(
      fc.constantFrom('users', 'conversations', 'messages', 'participants', 'join', 'stream-x'),
      fc.string({ unit: 'binary', maxLength: 40 }).map((text) => {
        return encodeURIComponent(text.toWellFormed()).replaceAll('.', '%2E');
      }),
      fc.constantFrom('0'.repeat(32), 'f'.repeat(32), '%', '%ff', '..%2f..', '%00'),
    );
    const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((s) => `/${s.join('/')}`);
    const method = fc.constantFrom('GET', 'POST', 'PATCH', 'DELETE');
    const body = fc.option(fc.json(), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(method, path, body, async (verb, at, sent) => {
        const { status, text } = await call(verb, at, verb === 'GET' ? undefined : sent);
        expect(DOCUMENTED.has(status), `${verb} ${status}`).toBe(true);
        if (status >= 400) expect(JSON.parse(text).errors[0]).toHaveProperty('code');
      }),
      { numRuns: 300, seed: 11 },
    );
  });
});
