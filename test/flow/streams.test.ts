import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Door, doorOf, openDoor, seeing } from '../support/door.ts';
import { GROUP, PERSONAL, received } from '../support/events.ts';
import { openTestStore } from '../support/temporary-store.ts';

const says = (n: number, text = '') =>
  received('ann', `text ${n} ${text}`, { id: `m${n}`, conversation: GROUP });

/** A stream over a plain connection: its client can stop reading. */
async function openRaw(door: Door, query = '', headers: readonly string[] = []) {
  const { hostname, port, pathname } = new URL(`${door.base}/stream`);
  const socket: Socket = connect({ host: hostname, port: Number(port) });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  const lines = [
    `GET ${pathname}${query} HTTP/1.1`,
    'host: lethe',
    `authorization: Basic ${btoa(`${door.key.id}:${door.key.secret}`)}`,
    ...headers,
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  let left = '';
  let status = '';
  let lastId: string | undefined;
  const numbers: number[] = [];
  socket.on('data', (chunk) => {
    const events = (left + String(chunk)).split('\n\n');
    left = events.pop()!;
    status ||= (events[0] ?? left).slice(9, 12);
    for (const event of events) {
      lastId = /^id: (.+)$/m.exec(event)?.[1] ?? lastId;
      const number = /"text":"text (\d+) /.exec(event)?.[1];
      if (number !== undefined) numbers.push(Number(number));
    }
  });
  return {
    socket,
    status: () => status,
    /** The numbers of the messages that came, in their order. */
    numbers: () => numbers,
    lastId: () => lastId,
  };
}

type Raw = Awaited<ReturnType<typeof openRaw>>;

describe('S55 streams', () => {
  it('of an app are served together: an event is opened as often for 300 of them as for one', async () => {
    const door = await openDoor();
    const opened = () => door.store.backends.sealerCounts().opened;
    const write = async (n: number) => {
      const before = opened();
      expect((await door.call('POST', '/events', says(n))).status).toBe(200);
      return before;
    };
    const one = await openRaw(door);
    await sleep(500);
    await write(0);
    await expect.poll(one.numbers).toEqual([0]);
    const before = await write(1);
    await expect.poll(one.numbers).toEqual([0, 1]);
    const forOne = opened() - before;
    expect(forOne).toBeGreaterThan(0);
    const others: Raw[] = [];
    for (let i = 0; i < 299; i += 1) others.push(await openRaw(door));
    await expect.poll(() => others.every((other) => other.status() === '200')).toBe(true);
    await sleep(1_500);
    const beforeAll = await write(2);
    await expect
      .poll(() => others.every((other) => other.numbers().includes(2)), { timeout: 10_000 })
      .toBe(true);
    expect(opened() - beforeAll).toBe(forOne);
    expect(one.numbers()).toEqual([0, 1, 2]);
  }, 60_000);

  it('have every event once and in order, whenever they came, stopped reading, or came again', async () => {
    const door = await openDoor();
    const long = 'word '.repeat(15_000);
    const write = async (from: number, to: number, text = '') => {
      for (let n = from; n < to; n += 1) {
        expect((await door.call('POST', '/events', says(n, text))).status).toBe(200);
      }
    };
    await write(0, 20);
    const early = await openRaw(door, '?from=start');
    const slow = await openRaw(door, '?from=start');
    await expect.poll(slow.numbers).toHaveLength(20);
    slow.socket.pause();
    const late = await openRaw(door);
    await sleep(500);
    await write(20, 120, long);
    const all = Array.from({ length: 120 }, (_, n) => n);
    await expect.poll(early.numbers, { timeout: 20_000 }).toEqual(all);
    await expect.poll(late.numbers, { timeout: 20_000 }).toEqual(all.slice(20));
    // What one does not read is not held for it: it is read from the log when it goes on.
    expect(slow.numbers().length).toBeLessThan(110);
    slow.socket.resume();
    await write(120, 130);
    const more = Array.from({ length: 130 }, (_, n) => n);
    await expect.poll(slow.numbers, { timeout: 20_000 }).toEqual(more);
    await expect.poll(early.numbers, { timeout: 20_000 }).toEqual(more);
    const id = late.lastId()!;
    late.socket.destroy();
    await write(130, 140);
    const again = await openRaw(door, '', [`last-event-id: ${id}`]);
    await expect.poll(again.numbers).toEqual(Array.from({ length: 10 }, (_, n) => 130 + n));
  }, 60_000);

  it('tell of nothing that the views do not have yet, and leave nothing out that comes late', async () => {
    const door = await doorOf(await openTestStore(), ['ingest', 'reader']);
    const stream = await openRaw(door);
    await door.call('POST', '/events', [says(1), says(2)]);
    // Nobody projects: longer than any reader waits for the views.
    await sleep(3_000);
    expect(stream.numbers()).toEqual([]);
    await door.store.project();
    await expect.poll(stream.numbers).toEqual([1, 2]);
  });

  it('tell of a change when it can be read: whoever reads anew at once has it', async () => {
    const door = await openDoor();
    await door.call('POST', '/users', { externalId: 'u1', profile: { givenName: 'Ann' } });
    const hello = received('ann', 'hello', { conversation: GROUP });
    const seen = seeing(await door.call('POST', '/events', hello));
    const { conversations } = (await door.call('GET', '/conversations', undefined, seen)).body;
    const path = `/conversations/${conversations[0].id}`;
    const stream = await door.stream();
    for (let n = 0; n < 60; n += 1) {
      const told = stream.until('conversation:update');
      await door.call('PATCH', path, { metadata: { n } });
      await told;
      expect((await door.call('GET', path)).body.conversation.metadata).toEqual({ n });
      const renamed = stream.until('user:update');
      await door.call('PATCH', '/users/u1', { profile: { surname: `S${n}` } });
      await renamed;
      expect((await door.call('GET', '/users/u1')).body.user.profile.surname).toBe(`S${n}`);
    }
  }, 60_000);

  it('are bounded for each key: one more is told so, and is let in when another has closed', async () => {
    const door = await openDoor();
    const open: Raw[] = [];
    for (let i = 0; i < 500; i += 1) open.push(await openRaw(door));
    await expect.poll(() => open.every((one) => one.status() === '200')).toBe(true);
    const refused = await openRaw(door);
    await expect.poll(refused.status).toBe('429');
    open[0]!.socket.destroy();
    await sleep(500);
    const next = await openRaw(door);
    await expect.poll(next.status).toBe('200');
    expect((await door.call('GET', '/conversations')).status).toBe(200);
  }, 60_000);

  it('tell of a message whose conversation it is, so that a consumer can purge with its person', async () => {
    const door = await openDoor();
    const stream = await door.stream();
    await door.call('POST', '/events', [
      received('ann', 'hers', { conversation: PERSONAL }),
      received('ben', 'his', { conversation: GROUP }),
    ]);
    let text = '';
    while (!(text.includes('"hers"') && text.includes('"his"')))
      text += await stream.until('data: ');
    expect(text).toMatch(/"conversation":\{"id":"\w+","type":"personal","userId":"\w{32}"\}/);
    expect(text).toMatch(/"conversation":\{"id":"\w+","type":"sdkGroup"\}/);
    // What takes something away says so, too, while the conversation is there.
    const { conversations } = (await door.call('GET', '/conversations')).body;
    const { id } = conversations.find(({ type }: { type: string }) => type === 'personal');
    await door.call('DELETE', `/conversations/${id}/messages`);
    let taken = '';
    while (!taken.includes('conversation:clear')) taken += await stream.until('data: ');
    taken += await stream.until('\n\n');
    expect(taken).toMatch(/"conversation":\{"id":"\w+","type":"personal","userId":"\w{32}"\}/);
  });
});
