import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startServer } from '../../services/server/serve.ts';
import { PERSONAL, received } from '../support/events.ts';
import { defaultConversationOf } from '../support/reading.ts';
import { serveAsInReadme } from '../support/serve-as-in-readme.ts';
import { openTestStore } from '../support/temporary-store.ts';

/** A store with one long page, and what a client needs to ask for it. */
async function openLongPage() {
  const store = await openTestStore();
  const long = 'word '.repeat(18_000);
  const events = Array.from({ length: 100 }, (_, i) =>
    received('ann', `${i} ${long}`, { conversation: PERSONAL }),
  );
  await store.deliver(...events);
  const { accessKeys, clock } = store.backends.administration();
  const of = { app: store.app.id, scope: 'app' as const, nowMs: clock.nowMs() };
  const { id, secret } = await accessKeys.create(of);
  const base = `/v2/apps/${store.app.id}`;
  const request = (
    path: string,
    method = 'GET',
    authorization = `Basic ${btoa(`${id}:${secret}`)}`,
  ) =>
    `${method} ${base}${path} HTTP/1.1\r\nhost: lethe\r\nauthorization: ${authorization}\r\n\r\n`;
  const page = `/conversations/${await defaultConversationOf(store, 'ann')}/messages`;
  return { store, request, page };
}

/** Sends all of this over one connection, and reads nothing. */
async function sendAtOnce(address: string, text: string): Promise<Socket> {
  const { hostname, port } = new URL(address);
  const socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.pause();
  socket.write(text);
  return socket;
}

async function millisecondsOf(address: string): Promise<number> {
  const began = performance.now();
  expect((await fetch(address)).status).toBe(200);
  return performance.now() - began;
}

describe('requests that are sent over one connection without waiting', () => {
  it('for long pages hold one answer in memory at a time: the process of the README goes on', async () => {
    const { store, request, page } = await openLongPage();
    const { serving, address } = await serveAsInReadme(store);
    await sendAtOnce(address, request(page).repeat(60));
    await sleep(8_000);
    expect(serving.child.exitCode).toBeNull();
    expect(await millisecondsOf(`${address}/healthz`)).toBeLessThan(2_000);
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toMatchObject({ code: 0 });
  }, 60_000);

  it.each([
    ['that nobody may ask', 'nothing'],
    ['for streams', undefined],
  ])(
    '%s keep nobody else waiting, nor when the client has left',
    async (_, authorization) => {
      const { store, request } = await openLongPage();
      const server = await startServer(store, ['reader']);
      onTestFinished(() => server.stop());
      const own = authorization === undefined ? '/stream?from=now' : '/conversations';
      const clients = await Promise.all(
        [1, 2, 3, 4].map(() =>
          sendAtOnce(server.address, request(own, 'GET', authorization).repeat(5_000)),
        ),
      );
      await sleep(200);
      expect(await millisecondsOf(`${server.address}/healthz`)).toBeLessThan(2_000);
      for (const client of clients) client.destroy();
      expect(await millisecondsOf(`${server.address}/healthz`)).toBeLessThan(2_000);
    },
    60_000,
  );

  it('are answered in their order, each once', async () => {
    const { store, request, page } = await openLongPage();
    const server = await startServer(store, ['reader']);
    onTestFinished(() => server.stop());
    const paths = [`${page}?page[size]=1`, '/nothing', page, '/nothing', `${page}?page[size]=1`];
    const client = await sendAtOnce(server.address, paths.map((path) => request(path)).join(''));
    let text = '';
    client.on('data', (chunk) => {
      text += chunk;
    });
    client.resume();
    const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    await expect.poll(statuses, { timeout: 20_000 }).toEqual(['200', '404', '200', '404', '200']);
  });
});

describe('requests that nobody may ask, over many connections', () => {
  it('do not end the process of the README, and keep nobody waiting', async () => {
    const store = await openTestStore();
    const { serving, address } = await serveAsInReadme(store);
    const head = `GET /v2/apps/${store.app.id}/conversations HTTP/1.1\r\nhost: lethe\r\n`;
    for (const more of ['', `x: ${'y'.repeat(15_000)}\r\n`]) {
      const text = `${head}${more}\r\n`.repeat(more === '' ? 990 : 300);
      await Promise.all(Array.from({ length: 100 }, () => sendAtOnce(address, text)));
      await sleep(3_000);
      expect(serving.child.exitCode).toBeNull();
      expect(await millisecondsOf(`${address}/healthz`)).toBeLessThan(2_000);
      // Whoever asks for one thing at a time is served, whatever waits elsewhere.
      const body = JSON.stringify([received('ann', 'words '.repeat(20_000))]);
      const posted = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
      const answer = await fetch(`${address}/v2/apps/${store.app.id}/events`, posted);
      expect(answer.status).toBe(401);
    }
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toMatchObject({ code: 0 });
  }, 60_000);
});

describe('what is no request of this server', () => {
  it('is answered after all that came before it, and never inside another answer', async () => {
    const { store, request, page } = await openLongPage();
    const server = await startServer(store, ['reader']);
    onTestFinished(() => server.stop());
    const garbage = 'no request at all\r\n\r\n';
    const textOf = async (first: string, later: string) => {
      const client = await sendAtOnce(server.address, first);
      let text = '';
      client.on('data', (chunk) => {
        text += String(chunk);
      });
      client.resume();
      await sleep(500);
      client.write(later);
      await Promise.race([once(client, 'close'), sleep(3_000)]);
      return text;
    };
    const asked = await textOf(request(page) + garbage, garbage);
    expect([...asked.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual([
      '200',
      '400',
    ]);
    for (const later of [garbage, `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`]) {
      const streamed = await textOf(request('/stream?from=now'), later);
      expect(streamed).toContain('HTTP/1.1 200');
      expect(streamed).not.toMatch(/HTTP\/1\.1 4/);
    }
  }, 60_000);

  it('ends nobody else’s: CONNECT behind an answer that is not read, and then a reset', async () => {
    const { store, request, page } = await openLongPage();
    const { serving, address } = await serveAsInReadme(store);
    const client = await sendAtOnce(address, request(page));
    await sleep(1_000);
    client.write('CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\nGET /nope HTTP/1.1\r\nhost: x\r\n\r\n');
    await sleep(500);
    client.write('GET /nope HTTP/1.1\r\nhost: x\r\n\r\n');
    expect(await millisecondsOf(`${address}/healthz`)).toBeLessThan(2_000);
    client.resetAndDestroy();
    await sleep(500);
    expect(serving.child.exitCode).toBeNull();
    expect(await millisecondsOf(`${address}/healthz`)).toBeLessThan(2_000);
  }, 60_000);

  it('is refused before its body is read, at an address that is none', async () => {
    const { store } = await openLongPage();
    const server = await startServer(store, ['reader']);
    onTestFinished(() => server.stop());
    const head = 'POST /nope HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
    const client = await sendAtOnce(server.address, `${head}content-length: 9000000\r\n\r\n[{}`);
    client.resume();
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(String(answer)).toContain('HTTP/1.1 404');
  });

  it('has an error of the same shape, whatever it is', async () => {
    const { store, request } = await openLongPage();
    const server = await startServer(store, ['reader']);
    onTestFinished(() => server.stop());
    for (const [text, status] of [
      ['no request at all\r\n\r\n', 400],
      [`GET / HTTP/1.1\r\nhost: lethe\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`, 431],
      [request('/stream', 'HEAD'), 404],
    ] as const) {
      const client = await sendAtOnce(server.address, text);
      client.resume();
      const [answer] = (await once(client, 'data')) as [Buffer];
      expect(String(answer)).toContain(`HTTP/1.1 ${status}`);
      if (status !== 404) expect(String(answer)).toMatch(/\{"errors":\[\{"code":"\w+","title":/);
    }
  });
});
