import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { startNginx } from '../servers/nginx-server.ts';
import { stopProcesses } from '../servers/server-process.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe, startLethe } from '../support/processes.ts';
import { askSlowly } from '../support/slow-client.ts';
import { embeddedVariables, temporaryFolder } from '../support/temporary-store.ts';

const MESSAGES = 90;
const LONG = 'a long word '.repeat(3_500);

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('proxy', figures));

/** Four services and the proxy before them; how to ask through it. */
async function openProxy() {
  const folder = temporaryFolder();
  const variables = embeddedVariables(folder);
  const run = async (...args: string[]) => (await lethe(folder, args, variables)).json;
  const { app } = await run('apps', 'create', 'demo');
  const { key } = await run('keys', 'create', '--app', 'demo', '--scope', 'app');
  const serve = async (service: string) => {
    const running = startLethe(folder, ['serve', service, '--json'], variables);
    return JSON.parse((await running.printed('\n')).trim()).listening as string;
  };
  const [ingest, reader, privacy] = [
    await serve('ingest'),
    await serve('reader'),
    await serve('privacy'),
  ];
  await serve('projector');
  const nginx = await startNginx(folder, { ingest, reader, privacy });
  onTestFinished(() => stopProcesses([nginx.process]));
  const authorization = `Basic ${btoa(`${key.id}:${key.secret}`)}`;
  const base = `/v2/apps/${app.id}`;
  return {
    async call(method: string, path: string, body?: object) {
      const answer = await fetch(
        nginx.url + (path.startsWith('/') ? path : `${base}/${path}`.replace(/\/$/, '')),
        {
          method,
          headers: { authorization, ...(body && { 'content-type': 'application/json' }) },
          ...(body && { body: JSON.stringify(body) }),
        },
      );
      const text = await answer.text();
      // biome-ignore lint/suspicious/noExplicitAny: answers are compared, not computed with
      return { status: answer.status, body: (text.startsWith('{') ? JSON.parse(text) : {}) as any };
    },
    ask: (path: string) =>
      askSlowly(
        nginx.url,
        `GET ${base}/${path} HTTP/1.1\r\nhost: lethe\r\nauthorization: ${authorization}\r\n\r\n`,
      ),
  };
}

describe('S47 the proxy of infra', () => {
  it('sends each request to its service, and passes on a part of what is taken back at most', async () => {
    const { call, ask } = await openProxy();
    expect((await call('GET', '')).status).toBe(200);
    expect((await call('GET', '/metrics')).status).toBe(404);
    const made = await call('POST', 'users', { externalId: 'bob' });
    expect(made.status).toBe(201);
    const bob = `users/${made.body.user.id}`;
    expect((await call('PATCH', bob, { profile: { givenName: 'Bob' } })).status).toBe(200);
    const events = Array.from({ length: MESSAGES }, () =>
      received('ann', LONG, { conversation: PERSONAL }),
    );
    expect((await call('POST', 'events', events)).status).toBe(200);
    const page = async () => {
      const { conversations } = (await call('GET', 'conversations')).body;
      return `conversations/${conversations[0]?.id}/messages`;
    };
    const messages = async () => (await call('GET', await page())).body.messages ?? [];
    const count = async () => (await messages()).length;
    await expect.poll(count, { timeout: 10_000 }).toBe(MESSAGES);
    const [{ author }] = await messages();
    const clients = [await ask(await page()), await ask('stream?from=start')];
    await sleep(500);
    const before = clients.map((one) => one.arrivedBytes());
    expect((await call('DELETE', `users/${author.userId}`)).status).toBe(200);
    const late = [];
    for (const [i, client] of clients.entries()) {
      expect((await client.readOn(200)).ended).toBe(true);
      late.push(client.arrivedBytes() - before[i]!);
    }
    // What the proxy had taken before T0 is delivered: its buffers, and what its kernel had.
    // The compose file keeps that small; here it is this machine's, which grows as it likes.
    for (const bytes of late) expect(bytes).toBeLessThan(MESSAGES * LONG.length * 0.5);
    figures.bytesOfProxyAfterT0 = late;
  });
});
