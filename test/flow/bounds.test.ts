import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createApp } from '../../services/operations/create-app.ts';
import { startServer } from '../../services/server/serve.ts';
import { identity, received, sent } from '../support/events.ts';
import { serveAsInReadme } from '../support/serve-as-in-readme.ts';
import { openTestStore } from '../support/temporary-store.ts';

/** A server with two tenants or more, each with a key. */
async function openTenants(count = 2) {
  const store = await openTestStore();
  const administration = store.backends.administration();
  const apps: string[] = [store.app.id];
  while (apps.length < count) {
    apps.push((await createApp(administration, { name: `app-${apps.length}`, buckets: 16 })).id);
  }
  const server = await startServer(store);
  onTestFinished(() => server.stop());
  const { accessKeys, clock } = administration;
  const tenantOf = async (app: string) => {
    const of = { app: app as never, scope: 'app' as const, nowMs: clock.nowMs() };
    const { id, secret } = await accessKeys.create(of);
    const authorization = `Basic ${btoa(`${id}:${secret}`)}`;
    return { path: `/v2/apps/${app}/events`, authorization };
  };
  const isKnown = async (name: string) => {
    const { directory } = store.backends.reader();
    const [found] = await directory.findSubjects(store.app.id, [identity(name)]);
    return found !== undefined;
  };
  const tenants = await Promise.all(apps.map(tenantOf));
  return { address: server.address, tenants, isKnown };
}

type Tenant = Awaited<ReturnType<typeof openTenants>>['tenants'][number];

/** Says that a body of so many bytes comes, and sends the first of them. */
async function begin(address: string, { path, authorization }: Tenant, bytes: number) {
  const { hostname, port } = new URL(address);
  const socket: Socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  const head = [`POST ${path} HTTP/1.1`, 'host: lethe', `authorization: ${authorization}`];
  head.push('content-type: application/json', `content-length: ${bytes}`);
  socket.write(`${head.join('\r\n')}\r\n\r\n[`);
  const answered = once(socket, 'data').then(([data]) => String(data).slice(9, 12));
  return {
    socket,
    status: (ms = 500) => Promise.race([answered, sleep(ms).then(() => 'waits')]),
  };
}

const post = (address: string, { path, authorization }: Tenant) =>
  fetch(address + path, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify([received('ann', 'words')]),
  });

describe('S55 bodies that are sent and held', () => {
  it('are bounded for each tenant: who sends too much is told so, and others are served', async () => {
    const { address, tenants } = await openTenants();
    const [busy, quiet] = tenants as [Tenant, Tenant];
    const first = await begin(address, busy, 9_000_000);
    expect(await first.status()).toBe('waits');
    const beside = await begin(address, busy, 9_000_000);
    expect(await beside.status()).toBe('waits');
    expect(await (await begin(address, busy, 9_000_000)).status()).toBe('waits');
    const second = await begin(address, busy, 9_000_000);
    expect(await second.status()).toBe('503');
    expect((await post(address, quiet)).status).toBe(200);
    expect((await post(address, busy)).status).toBe(200);
    first.socket.destroy();
    await sleep(100);
    const third = await begin(address, busy, 9_000_000);
    expect(await third.status()).toBe('waits');
  });

  it('of some tenants that take all they can get leave room for every other', async () => {
    const { address, tenants } = await openTenants(6);
    for (const greedy of tenants.slice(0, -1)) {
      for (let bytes = 9_000_000; bytes > 200; ) {
        const status = await (await begin(address, greedy, bytes)).status(100);
        if (status === '503') bytes = Math.round(bytes / 4);
      }
    }
    expect((await post(address, tenants.at(-1)!)).status).toBe(200);
  });

  it('that name more people than may be new at once are refused whole, and make nobody', async () => {
    const { address, tenants, isKnown } = await openTenants();
    const [{ path, authorization }] = tenants as [Tenant];
    const recipients = (n: number) =>
      Array.from({ length: 1_000 }, (_, i) => ({ identity: identity(`${n}-${i}`) }));
    const events = Array.from({ length: 21 }, (_, n) => {
      const event = sent(null, 'to all') as { data: object };
      return { ...event, data: { ...event.data, recipients: recipients(n) } };
    });
    const answer = await fetch(address + path, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify(events),
    });
    expect(answer.status).toBe(413);
    const [error] = ((await answer.json()) as { errors: { code: string; title: string }[] }).errors;
    expect(error).toMatchObject({ code: 'too_many_people' });
    expect(error!.title).toContain('20000');
    expect(await isKnown('0-0')).toBe(false);
  });
});

/** Sends a request, to its end or until it is answered, and gives the status of its answer. */
async function send(
  address: string,
  head: string,
  body: Iterable<string>,
  until: 'whole' | 'answered' = 'answered',
): Promise<string> {
  const { hostname, port } = new URL(address);
  const socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  const answered = new Promise<string>((resolve) => {
    socket.once('data', (data) => resolve(String(data).slice(9, 12)));
    socket.once('error', () => resolve('reset'));
    socket.once('close', () => resolve('closed'));
  });
  socket.write(`${head}\r\n\r\n`);
  for (const part of body) {
    const drained = socket.write(part) || once(socket, 'drain');
    await (until === 'whole' ? drained : Promise.race([drained, answered]));
  }
  return answered;
}

const MEGABYTES = 9 * 1_048_576;
const filled = (text: string, open = '', close = '') => {
  const count = Math.floor((MEGABYTES - open.length - close.length) / text.length);
  return open + text.repeat(count) + close;
};
const KEYS = Array.from({ length: 700_000 }, (_, i) => `"k${i}":0`).join(',');
const SHAPES: readonly [string, string][] = [
  ['of empty lines', filled('\r\n\r\n')],
  ['nested as deep as it is long', '['.repeat(MEGABYTES / 2) + ']'.repeat(MEGABYTES / 2)],
  ['with very many objects', filled('{},', '[', '{}]')],
  ['with very many arrays', filled('[0],', '[', '[]]')],
  ['with very many keys', `{${KEYS}}`],
  ['with very many texts', filled('"ab",', '[', '""]')],
  ['of one long text', filled('\\u0041', '["', '"]')],
];

describe('S55 a body that does not say its length', () => {
  it('is told that it is too long, and the server goes on', async () => {
    const { address, tenants } = await openTenants();
    const { path, authorization } = tenants[0]!;
    const lines = [`POST ${path} HTTP/1.1`, 'host: lethe', `authorization: ${authorization}`];
    lines.push('content-type: application/json', 'transfer-encoding: chunked');
    const megabyte = `100000\r\n${' '.repeat(0x100000)}\r\n`;
    // The rest of it is let go by: a connection that is reset may lose its answer.
    const parts = [...new Array(14).fill(megabyte), '0\r\n\r\n', 'GET /healthz HTTP/1.1\r\n\r\n'];
    expect(await send(address, lines.join('\r\n'), parts, 'whole')).toBe('413');
    expect((await post(address, tenants[0]!)).status).toBe(200);
  });
});

describe('S55 bodies of any shape', () => {
  it('do not end the process of the README, whole or in chunks of one byte', async () => {
    const store = await openTestStore();
    const { accessKeys, clock } = store.backends.administration();
    const of = { app: store.app.id, scope: 'app' as const, nowMs: clock.nowMs() };
    const { id, secret } = await accessKeys.create(of);
    const { serving, address } = await serveAsInReadme(store);
    const lines = [
      `POST /v2/apps/${store.app.id}/events HTTP/1.1`,
      'host: lethe',
      `authorization: Basic ${btoa(`${id}:${secret}`)}`,
      'content-type: application/json',
    ];
    for (const [shape, body] of SHAPES) {
      const head = [...lines, `content-length: ${body.length}`].join('\r\n');
      const status = await send(address, head, [body]);
      // A batch is answered for each of its events.
      expect(status, shape).toBe(shape === 'of one long text' ? '200' : '400');
      expect((await fetch(`${address}/healthz`)).status, shape).toBe(200);
    }
    const chunked = [...lines, 'transfer-encoding: chunked'].join('\r\n');
    const bytes = '1\r\n \r\n'.repeat(100_000);
    const parts = [...new Array(50).fill(bytes), '0\r\n\r\n'];
    // Beyond the first megabyte it waits for room as others do.
    const several = await Promise.all([1, 2, 3].map(() => send(address, chunked, parts)));
    for (const status of several) expect(['400', '413', '503']).toContain(status);
    expect((await fetch(`${address}/healthz`)).status).toBe(200);
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toMatchObject({ code: 0 });
  }, 120_000);
});
