import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { USER_CHANNEL } from '../../libs/people/find-subject.ts';
import { revokeKey } from '../../services/operations/revoke-key.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { startServer } from '../../services/server/serve.ts';
import { makeCertificate } from '../servers/certificates.ts';
import { PERSONAL, profile, received, sent } from '../support/events.ts';
import { defaultConversationOf, subjectOf } from '../support/reading.ts';
import { askSlowly } from '../support/slow-client.ts';
import { openTestStore } from '../support/temporary-store.ts';

const MESSAGES = 100;
const LONG = 'a long word '.repeat(3_200);

async function openSlowDoor(
  more: { answerMs?: number } = {},
  { host = '127.0.0.1', isTls = false } = {},
) {
  const store = await openTestStore();
  const { app, backends } = store;
  const { caFile, keyFile } = isTls ? makeCertificate(join(store.folder, 'tls')) : {};
  const tls = isTls && { tls: { cert: caFile!, key: keyFile! } };
  const http = { ...store.configuration.http, host, ...tls };
  const configuration = { ...store.configuration, ...more, http };
  const server = await startServer({ backends, configuration }, ['ingest', 'reader', 'privacy']);
  onTestFinished(() => server.stop());
  const { accessKeys, clock } = backends.administration();
  const key = await accessKeys.create({ app: app.id, scope: 'app', nowMs: clock.nowMs() });
  const authorization = `Basic ${btoa(`${key.id}:${key.secret}`)}`;
  const base = `/v2/apps/${app.id}`;
  return {
    store,
    server,
    async call(method: string, path: string, body?: object) {
      const answer = await fetch(`${server.address}${base}/${path}`, {
        method,
        headers: { authorization, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      });
      // biome-ignore lint/suspicious/noExplicitAny: answers are compared, not computed with
      return { status: answer.status, body: (await answer.json()) as any };
    },
    async alias(name: string) {
      const { directory } = backends.reader();
      const [entry] = await directory.subjects(app.id, [await subjectOf(store, name)]);
      return entry!.value.alias;
    },
    async idOf(externalId: string) {
      const { directory } = backends.reader();
      const identity = { channel: USER_CHANNEL, externalId };
      const [subject] = await directory.findSubjects(app.id, [identity]);
      if (subject === undefined) return undefined;
      const [entry] = await directory.subjects(app.id, [subject]);
      return entry!.value.alias;
    },
    key,
    /** One request on a connection that stays open. */
    get: (path: string) =>
      `GET ${base}${path} HTTP/1.1\r\nhost: lethe\r\nauthorization: ${authorization}\r\n\r\n`,
    /** Asks once, which closes the connection, or once with each body. */
    ask(method: string, path: string, ...bodies: object[]) {
      const head = `${method} ${base}/${path} HTTP/1.1\r\nhost: lethe\r\n`;
      const own = `${head}authorization: ${authorization}\r\n`;
      if (bodies.length === 0) return askSlowly(server.address, `${own}connection: close\r\n\r\n`);
      const texts = bodies.map((body) => JSON.stringify(body));
      const requests = texts.map(
        (text) =>
          `${own}content-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
      );
      return askSlowly(server.address, requests.join(''));
    },
  };
}

type Door = Awaited<ReturnType<typeof openSlowDoor>>;

/** Takes in a personal conversation whose page fills every buffer on its way. */
async function fillPage(
  { store }: Door,
  name: string,
  { text = LONG, messages = MESSAGES } = {},
): Promise<string> {
  const events = Array.from({ length: messages }, (_, i) =>
    received(name, text, { conversation: PERSONAL, id: `${name}-${i}` }),
  );
  await store.deliver(...events);
  return `conversations/${await defaultConversationOf(store, name)}/messages`;
}

describe('S47 what was handed to a connection that reads slowly', () => {
  it('is taken back before an erase is answered, and nobody else loses a connection', async () => {
    const door = await openSlowDoor();
    const ann = await door.ask('GET', await fillPage(door, 'ann'));
    const stream = await door.ask('GET', 'stream?from=start');
    // Until nobody else is there, nobody else's words are in it.
    await stream.untilFull();
    const bob = await door.ask('GET', await fillPage(door, 'bob'));
    await sleep(300);
    const before = [ann.arrivedBytes(), stream.arrivedBytes()];
    expect(ann.queuedBytes() + stream.queuedBytes()).toBeGreaterThan(100_000);
    expect((await door.call('DELETE', `users/${await door.alias('ann')}`)).status).toBe(200);
    expect([ann.queuedBytes(), stream.queuedBytes()]).toEqual([0, 0]);
    for (const one of [ann, stream]) expect((await one.readOn(200)).ended).toBe(true);
    for (const [i, one] of [ann, stream].entries()) {
      expect(one.arrivedBytes()).toBeLessThanOrEqual(before[i]!);
    }
    const { text } = await bob.readOn();
    expect(text.split('a long word').length).toBeGreaterThan(MESSAGES * 3_100);
  });

  it('is taken back behind an answer of other letters, which take more bytes than they are', async () => {
    const door = await openSlowDoor();
    const ann = await fillPage(door, 'ann', { messages: 10 });
    const bob = await fillPage(door, 'bob', { text: '長い言葉'.repeat(7_500) });
    const client = await askSlowly(door.server.address, door.get(`/${ann}`));
    await sleep(300);
    client.say(door.get(`/${bob}`));
    await sleep(700);
    const before = await client.untilFull();
    expect(client.queuedBytes()).toBeGreaterThan(100_000);
    expect((await door.call('DELETE', `users/${await door.alias('ann')}`)).status).toBe(200);
    expect(client.queuedBytes()).toBe(0);
    expect((await client.readOn(200)).ended).toBe(true);
    expect(client.arrivedBytes()).toBeLessThanOrEqual(before);
  });

  it('is taken back from a stream that waits behind another answer', async () => {
    const door = await openSlowDoor();
    await fillPage(door, 'ann', { messages: 1, text: 'said by ann alone' });
    const bob = await fillPage(door, 'bob');
    const both = door.get(`/${bob}`) + door.get('/stream?from=start');
    const client = await askSlowly(door.server.address, both);
    await sleep(700);
    await client.untilFull();
    expect((await door.call('DELETE', `users/${await door.alias('ann')}`)).status).toBe(200);
    expect((await client.readOn()).text).not.toContain('said by ann alone');
  });

  it('is taken back from answers that name an app, when that is erased', async () => {
    const door = await openSlowDoor();
    const some = door.get('').repeat(500);
    const client = await askSlowly(door.server.address, some);
    // Not all at once: only so many may wait on one connection.
    for (let i = 0; i < 60 && client.queuedBytes() < 500_000; i += 1) {
      client.say(some);
      for (let before = -1; before !== client.arrivedBytes() + client.queuedBytes(); ) {
        before = client.arrivedBytes() + client.queuedBytes();
        await sleep(400);
      }
    }
    expect(client.queuedBytes()).toBeGreaterThan(500_000);
    const { store } = door;
    const erased = await createPrivacy(store.backends.privacy()).eraseApp(store.app.id);
    expect(erased.status).toBe('done');
    expect(client.queuedBytes()).toBe(0);
    expect((await client.readOn(200)).ended).toBe(true);
  });

  it('goes no further within a second of the end of the key that a stream was asked for with', async () => {
    const door = await openSlowDoor();
    await fillPage(door, 'ann');
    const stream = await door.ask('GET', 'stream?from=start');
    const before = await stream.untilFull();
    expect(stream.queuedBytes()).toBeGreaterThan(100_000);
    await revokeKey(door.store.backends.administration(), door.key.id);
    await sleep(1_000);
    expect(stream.queuedBytes()).toBe(0);
    expect((await stream.readOn(200)).ended).toBe(true);
    expect(stream.arrivedBytes()).toBeLessThanOrEqual(before);
  });

  it('is taken back when one of its messages is forgotten, and stays for another message', async () => {
    const door = await openSlowDoor();
    const page = await fillPage(door, 'ann');
    const [oldest] = (await door.call('GET', page)).body.messages;
    const whole = await door.ask('GET', page);
    const newest = await door.ask('GET', `${page}?page[size]=90`);
    await sleep(300);
    expect((await door.call('DELETE', `${page}/${oldest.id}`)).status).toBe(200);
    expect(whole.queuedBytes()).toBe(0);
    expect((await whole.readOn(200)).ended).toBe(true);
    const { text } = await newest.readOn();
    expect(text.split('a long word').length).toBeGreaterThan(90 * 3_100);
  });

  it('is taken back from answers to changes, which show what was stored', async () => {
    const door = await openSlowDoor();
    const { store } = door;
    await store.deliver(profile('ann', { givenName: 'Ann' }));
    const user = `users/${await door.alias('ann')}`;
    const projecting = setInterval(() => void store.project(), 20);
    onTestFinished(() => clearInterval(projecting));
    const long = { metadata: { note: LONG.slice(0, 3_900) } };
    expect((await door.call('PATCH', user, long)).status).toBe(200);
    // Many at once on one connection, each answered with what the first had stored.
    const changes = Array.from({ length: 600 }, (_, i) => ({ metadata: { number: i } }));
    const client = await door.ask('PATCH', user, ...changes);
    await expect.poll(() => client.queuedBytes(), { timeout: 10_000 }).toBeGreaterThan(500_000);
    expect((await door.call('DELETE', user)).status).toBe(200);
    expect(client.queuedBytes()).toBe(0);
    expect((await client.readOn(200)).ended).toBe(true);
  });

  it('is taken back from answers that repeat what the client has posted', async () => {
    const door = await openSlowDoor();
    await door.store.deliver(received('ann', 'hi', { conversation: PERSONAL }));
    const page = `conversations/${await defaultConversationOf(door.store, 'ann')}/messages`;
    const userId = await door.alias('ann');
    const message = { author: { type: 'user', userId }, content: { type: 'text', text: LONG } };
    const client = await door.ask('POST', page, ...Array.from({ length: 60 }, () => message));
    await expect.poll(() => client.queuedBytes(), { timeout: 10_000 }).toBeGreaterThan(500_000);
    expect((await door.call('DELETE', `users/${userId}`)).status).toBe(200);
    expect(client.queuedBytes()).toBe(0);
    expect((await client.readOn(200)).ended).toBe(true);
  });

  it.each([
    ['erased', (agent: string) => `users/${agent}`],
    ['cleared of their profile', (agent: string) => `users/${agent}/personalinformation`],
  ])('is taken back from answers that name an agent who is %s', async (_, path) => {
    const door = await openSlowDoor();
    await door.store.deliver(received('ann', 'hello', { conversation: PERSONAL }));
    const page = `conversations/${await defaultConversationOf(door.store, 'ann')}/messages`;
    const author = { type: 'business', userId: 'agent-7', displayName: 'Susan Smith' };
    const message = { author, content: { type: 'text', text: LONG } };
    await door.call('POST', page, { author, content: { type: 'text', text: 'hello' } });
    await door.store.project();
    const { messages } = (await door.call('GET', page)).body;
    const client = await door.ask('POST', page, ...Array.from({ length: 60 }, () => message));
    await expect.poll(() => client.queuedBytes(), { timeout: 10_000 }).toBeGreaterThan(500_000);
    expect((await door.call('DELETE', path(messages.at(-1).author.userId))).status).toBe(200);
    expect(client.queuedBytes()).toBe(0);
    expect((await client.readOn(200)).ended).toBe(true);
  });

  it('is taken back from the answer that repeats a new person’s first profile', async () => {
    const door = await openSlowDoor();
    const metadata = { note: LONG.slice(0, 3_900) };
    const people = Array.from({ length: 600 }, (_, i) => ({ externalId: `dan-${i}`, metadata }));
    const client = await door.ask('POST', 'users', ...people);
    await expect.poll(() => client.queuedBytes(), { timeout: 10_000 }).toBeGreaterThan(500_000);
    await expect.poll(() => door.idOf('dan-599'), { timeout: 10_000 }).toBeDefined();
    expect((await door.call('DELETE', `users/${await door.idOf('dan-599')}`)).status).toBe(200);
    expect(client.queuedBytes()).toBe(0);
    expect((await client.readOn(200)).ended).toBe(true);
  });

  it('is taken back on localhost, whichever of its addresses the client used', async () => {
    const door = await openSlowDoor({}, { host: 'localhost' });
    const client = await door.ask('GET', await fillPage(door, 'ann'));
    await sleep(300);
    expect((await door.call('DELETE', `users/${await door.alias('ann')}`)).status).toBe(200);
    expect(client.queuedBytes()).toBe(0);
    // By one of them: a second server would have connections that nobody watches over.
    const { port, hostname } = new URL(door.server.address);
    const other = hostname === '127.0.0.1' ? '::1' : '127.0.0.1';
    const refused = connect({ host: other, port: Number(port) });
    await expect(once(refused, 'connect')).rejects.toThrow(
      /ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH/,
    );
  });

  it('is given up when the client takes longer than an answer may take', async () => {
    const door = await openSlowDoor({ answerMs: 1_000 });
    const client = await door.ask('GET', await fillPage(door, 'ann'));
    await sleep(200);
    expect(client.queuedBytes()).toBeGreaterThan(0);
    await expect.poll(() => client.queuedBytes(), { timeout: 3_000 }).toBe(0);
    expect((await client.readOn(200)).ended).toBe(true);
  });

  it('keeps the connection open until it was taken, though the client asked to close it', async () => {
    const door = await openSlowDoor();
    const client = await door.ask('GET', await fillPage(door, 'ann'));
    await sleep(500);
    const { text, ended } = await client.readOn();
    expect(text.split('a long word').length).toBeGreaterThan(MESSAGES * 3_100);
    expect(ended).toBe(true);
  });

  it('does not keep a server from ending', async () => {
    const door = await openSlowDoor();
    const client = await door.ask('GET', await fillPage(door, 'ann'));
    await sleep(200);
    const began = performance.now();
    await door.server.stop();
    expect(performance.now() - began).toBeLessThan(5_000);
    expect(client.queuedBytes()).toBe(0);
  });

  it.each([
    ['HTTP', false],
    ['HTTPS', true],
  ])('over %s is given to the end to who reads on while the server ends', async (_, isTls) => {
    const door = await openSlowDoor({}, { isTls });
    const page = await fillPage(door, 'ann');
    const client = await door.ask('GET', page);
    await sleep(200);
    const began = performance.now();
    const stopped = door.server.stop();
    const text = await client.readAt(580_000);
    expect(performance.now() - began).toBeGreaterThan(6_000);
    expect(text.split('a long word').length).toBeGreaterThan(MESSAGES * 3_100);
    await stopped;
    expect(performance.now() - began).toBeLessThan(9_500);
  });

  it('under TLS two connections of one client’s port are told apart, and neither ends the server', async () => {
    const store = await openTestStore();
    const { caFile, keyFile } = makeCertificate(join(store.folder, 'tls'));
    const http = { host: '0.0.0.0', port: 0, tls: { cert: caFile, key: keyFile } };
    const { backends } = store;
    const server = await startServer(
      { backends, configuration: { ...store.configuration, http } },
      ['reader'],
    );
    onTestFinished(() => server.stop());
    const port = Number(new URL(server.address).port);
    const first = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.1' });
    await once(first, 'connect');
    const own = { localAddress: '127.0.0.1', localPort: first.localPort! };
    const second = connect({ host: '127.0.0.2', port, ...own });
    await once(second, 'connect');
    first.destroy();
    await sleep(50);
    const secure = connectTls({ socket: second, rejectUnauthorized: false });
    await once(secure, 'secureConnect');
    secure.write('GET /healthz HTTP/1.1\r\nhost: lethe\r\nconnection: close\r\n\r\n');
    const [answer] = await once(secure, 'data');
    expect(String(answer)).toContain('200 OK');
  });

  it('is not held against people whose words are not in it', async () => {
    const door = await openSlowDoor();
    const page = await fillPage(door, 'ann');
    await door.store.deliver(received('bob', 'his'), sent(null, 'ours'));
    const client = await door.ask('GET', page);
    await sleep(200);
    expect((await door.call('DELETE', `users/${await door.alias('bob')}`)).status).toBe(200);
    expect((await client.readOn()).text.split('a long word').length).toBeGreaterThan(
      MESSAGES * 3_100,
    );
  });

  it('leaves nothing behind on the server each time the stream waited for it', async () => {
    const warned: string[] = [];
    const note = ({ name }: Error) => warned.push(name);
    process.on('warning', note);
    onTestFinished(() => void process.off('warning', note));
    const door = await openSlowDoor();
    await fillPage(door, 'ann');
    const client = await door.ask('GET', 'stream?from=start');
    expect((await client.readOn()).text.split('a long word').length).toBeGreaterThan(
      MESSAGES * 3_100,
    );
    expect(warned).not.toContain('MaxListenersExceededWarning');
  });
});
