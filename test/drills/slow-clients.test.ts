import { fork } from 'node:child_process';
import { once } from 'node:events';
import { request as plain } from 'node:http';
import { request as encrypted } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { makeCertificate } from '../servers/certificates.ts';
import { PERSONAL, profile, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { startLethe } from '../support/processes.ts';
import { defaultConversationOf, subjectOf } from '../support/reading.ts';
import { askSlowly, type SlowClient } from '../support/slow-client.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

const MESSAGES = 99;
const MESSAGES_PER_BATCH = 33;
const MESSAGE_BYTES = 40_000;

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('slow clients', figures));

/** So many messages of one person that their page fills every buffer on its way. */
function messagesFrom(name: string): object[] {
  const word = `words of ${name} `;
  const text = word.repeat(Math.floor(MESSAGE_BYTES / word.length));
  return Array.from({ length: MESSAGES }, () => received(name, text, { conversation: PERSONAL }));
}

interface Asked {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared, not computed with
  readonly body: any;
}

/** Asks and reads at once; the certificate is of this test. */
async function ask(url: string, method: string, headers: object, body?: unknown): Promise<Asked> {
  const { promise, resolve, reject } = Promise.withResolvers<Asked>();
  const json = { 'content-type': 'application/json' };
  const options = { method, rejectUnauthorized: false, headers: { ...headers, ...json } };
  const asked = (url.startsWith('https:') ? encrypted : plain)(url, options, (answer) => {
    let text = '';
    answer.on('data', (chunk) => {
      text += chunk;
    });
    answer.on('end', () => resolve({ status: answer.statusCode!, body: JSON.parse(text) }));
  });
  asked.on('error', reject);
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

/** Starts all services over a store, in one process or in four. */
async function serve({ folder }: TestStore, { isTls, isApart }: Layout) {
  const { caFile, keyFile } = makeCertificate(join(folder, 'tls'));
  const variables: Record<string, string> = isTls
    ? { LETHE_HTTP_TLS: `cert=${caFile}&key=${keyFile}`, NODE_EXTRA_CA_CERTS: caFile }
    : {};
  const pids = new Map<string, number>();
  const start = async (...services: string[]) => {
    const running = startLethe(folder, ['serve', ...services, '--json'], variables);
    pids.set(services[0] ?? 'all', running.child.pid!);
    return JSON.parse((await running.printed('\n')).trim()).listening as string;
  };
  if (isApart) await start('projector');
  const one = isApart ? undefined : await start();
  return {
    ingest: one ?? (await start('ingest')),
    reader: one ?? (await start('reader')),
    privacy: one ?? (await start('privacy')),
    pids,
  };
}

interface Layout {
  readonly isTls: boolean;
  readonly isApart: boolean;
}

type Doors = Awaited<ReturnType<typeof openDoors>>;

async function openDoors(layout: Layout) {
  const store = await openTestStore();
  const { app, backends } = store;
  await store.deliver(...messagesFrom('ann'), profile('ann', { givenName: 'Ann' }));
  const conversation = await defaultConversationOf(store, 'ann');
  const { directory } = backends.reader();
  const [entry] = await directory.subjects(app.id, [await subjectOf(store, 'ann')]);
  const { accessKeys, clock } = backends.administration();
  const key = await accessKeys.create({ app: app.id, scope: 'app', nowMs: clock.nowMs() });
  await store.ingest.close();
  await backends.close();
  const { pids, ...doors } = await serve(store, layout);
  const authorization = `Basic ${btoa(`${key.id}:${key.secret}`)}`;
  const base = `/v2/apps/${app.id}`;
  return {
    readerPid: pids.get(layout.isApart ? 'reader' : 'all')!,
    conversation,
    user: entry!.value.alias,
    call: (door: keyof typeof doors, method: string, path: string, body?: unknown) =>
      ask(`${doors[door]}${base}/${path}`, method, { authorization }, body),
    /** The bytes of a request, for clients that are slow. */
    request(path: string, more = '') {
      const head = `GET ${base}/${path} HTTP/1.1\r\nhost: lethe\r\n`;
      return `${head}authorization: ${authorization}\r\n${more}\r\n`;
    },
    slow: (text: string) => askSlowly(doors.reader, text),
    /** Keeps the reader busy with a page until the test ends; resolves when answers have come. */
    async keepBusy(path: string, clients: number) {
      const url = `${doors.reader}${base}/${path}`;
      const file = fileURLToPath(new URL('../support/busy-clients.ts', import.meta.url));
      const child = fork(file, [url, authorization, String(clients)]);
      onTestFinished(() => void child.kill('SIGKILL'));
      while ((await once(child, 'message'))[0] === 0);
    },
  };
}

/** The page of a conversation other than the one of a page, once all its messages are on it. */
async function pageOfNewest(call: Doors['call'], other: string): Promise<string> {
  for (;;) {
    const { conversations } = (await call('reader', 'GET', 'conversations')).body;
    for (const { id } of conversations as { id: string }[]) {
      const page = `conversations/${id}/messages`;
      if (page === other) continue;
      const { messages } = (await call('reader', 'GET', page)).body;
      if (messages.length === MESSAGES) return page;
    }
    await sleep(50);
  }
}

describe('S47 slow clients', () => {
  it.each([
    { isTls: false, isApart: false },
    { isTls: true, isApart: false },
    { isTls: false, isApart: true },
    { isTls: true, isApart: true },
  ])(
    'are sent nothing of an erased person after T0 (TLS $isTls, apart $isApart)',
    async (layout) => {
      const { conversation, user, call, request, slow } = await openDoors(layout);
      const page = `conversations/${conversation}/messages`;
      const victims: Record<string, SlowClient> = {
        page: await slow(request(page)),
        'page that closes': await slow(request(page, 'connection: close\r\n')),
        'page that is half closed': await slow(request(page)),
        'page and another request': await slow(request(page)),
        stream: await slow(request('stream?from=start')),
        'stream that is half closed': await slow(request('stream?from=start')),
      };
      victims['page that is half closed']!.halfClose();
      victims['stream that is half closed']!.halfClose();
      victims['page and another request']!.say(request(`users/${user}`));
      await sleep(1_000);
      const others = messagesFrom('bob');
      for (let i = 0; i < others.length; i += MESSAGES_PER_BATCH) {
        const batch = others.slice(i, i + MESSAGES_PER_BATCH);
        expect((await call('ingest', 'POST', 'events', batch)).status).toBe(200);
      }
      const bobs = await pageOfNewest(call, page);
      const bystander = await slow(request(bobs));
      // What is to be taken back lies in the server's kernel: else this would show nothing. A half
      // close under TLS may have ended its connection before.
      const isQueued = (client: SlowClient) => client.queuedBytes() > 50_000;
      const waiting = Object.values(victims).filter(isQueued);
      const arrived = waiting.map((client) => client.arrivedBytes());
      expect(waiting.length).toBeGreaterThanOrEqual(4);
      const asked = performance.now();
      expect((await call('privacy', 'DELETE', `users/${user}`)).status).toBe(200);
      const deleteMs = Math.round(performance.now() - asked);
      for (const [name, client] of Object.entries(victims)) {
        expect(client.queuedBytes(), name).toBe(0);
      }
      for (const [name, client] of Object.entries(victims)) {
        expect((await client.readOn(200)).ended, name).toBe(true);
      }
      const late = waiting.map((client, i) => Math.max(0, client.arrivedBytes() - arrived[i]!));
      const lateBytes = late.reduce((sum, bytes) => sum + bytes, 0);
      expect(lateBytes).toBe(0);
      const { text } = await bystander.readOn();
      // It was as slow, and has all of it.
      expect(text.split('words of bob').length).toBeGreaterThan(MESSAGES);
      expect(text).toContain('"hasMore":false');
      const where = layout.isApart ? 'apart' : 'one process';
      const name = `${layout.isTls ? 'HTTPS' : 'HTTP'}, ${where}`;
      figures[name] = { lateBytes, deleteMs, connections: waiting.length };
    },
    120_000,
  );
});

const BUSY_CLIENTS = 1_000;

describe('S47 slow clients of a reader that a thousand others keep busy', () => {
  it.each([{ isApart: false }, { isApart: true }])(
    'are sent nothing of an erased person after T0 (apart $isApart)',
    async ({ isApart }) => {
      const { conversation, user, call, request, slow, keepBusy } = await openDoors({
        isTls: false,
        isApart,
      });
      const page = `conversations/${conversation}/messages`;
      const words = 'hello '.repeat(20);
      const short = () => received('bob', words, { conversation: PERSONAL });
      const said = Array.from({ length: MESSAGES }, short);
      expect((await call('ingest', 'POST', 'events', said)).status).toBe(200);
      const bobs = await pageOfNewest(call, page);
      const victim = await slow(request(page));
      const arrived = await victim.untilFull();
      expect(victim.queuedBytes()).toBeGreaterThan(50_000);
      await keepBusy(bobs, BUSY_CLIENTS);
      const asked = performance.now();
      expect((await call('privacy', 'DELETE', `users/${user}`)).status).toBe(200);
      const deleteMs = Math.round(performance.now() - asked);
      expect(victim.queuedBytes()).toBe(0);
      expect((await victim.readOn(200)).ended).toBe(true);
      const lateBytes = Math.max(0, victim.arrivedBytes() - arrived);
      expect(lateBytes).toBe(0);
      figures[`busy, ${isApart ? 'apart' : 'one process'}`] = { lateBytes, deleteMs };
    },
    180_000,
  );
});

// What libuv is in the middle of writing when it is stopped: a slice, and what it holds in all.
const SLICE_BYTES_MAX = 131_072;

describe('S47 a reader that is paused while it writes', () => {
  it('sends on no more than a slice of what was erased meanwhile, when it is woken', async () => {
    const doors = await openDoors({ isTls: false, isApart: true });
    const { conversation, user, call, request, slow, readerPid } = doors;
    const victim = await slow(request(`conversations/${conversation}/messages`));
    const arrived = await victim.untilFull();
    process.kill(readerPid, 'SIGSTOP');
    const inKernel = victim.queuedBytes();
    expect((await call('privacy', 'DELETE', `users/${user}`)).status).toBe(200);
    // While it is paused nobody can take back what its kernel has.
    await victim.readOn(1_000);
    process.kill(readerPid, 'SIGCONT');
    await victim.readOn(1_000);
    const lateBytes = victim.arrivedBytes() - arrived;
    expect(lateBytes - inKernel).toBeLessThan(SLICE_BYTES_MAX);
    figures.paused = { inKernel, afterItWoke: lateBytes - inKernel };
  }, 120_000);
});
