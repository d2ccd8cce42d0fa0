import { describe, expect, it } from 'vitest';
import { rebuildViews } from '../../libs/projection/project.ts';
import { reclaimDue } from '../../services/operations/upkeep.ts';
import { type Answer, type Door, openDoor, seeing } from '../support/door.ts';
import { joined, left, PERSONAL, reacted, received, sent } from '../support/events.ts';
import { MovedClock } from '../support/moved-clock.ts';

interface Entry {
  readonly id: string;
  readonly lastUpdatedAt?: string;
}

/** A list, page after page, with how many entries each had. */
async function walk(door: Door, path: string, size: number) {
  const name = path.split('?')[0]!.split('/').at(-1)!;
  const entries: Entry[] = [];
  const sizes: number[] = [];
  for (let cursor = ''; ; ) {
    const at = `${path.includes('?') ? '&' : '?'}page[size]=${size}${cursor}`;
    const page = await door.call('GET', path + at);
    expect(page.status).toBe(200);
    entries.push(...page.body[name]);
    sizes.push(page.body[name].length);
    if (!page.body.meta.hasMore) return { entries, sizes };
    cursor = `&page[after]=${page.body.meta.afterCursor}`;
  }
}

const at = (minute: number) => ({
  time: new Date(1_740_000_000_000 + minute * 60_000).toISOString(),
});
const groupOf = (n: number) => ({ type: 'sdkGroup', externalId: `room-${n}` });
const idsOf = (entries: readonly Entry[]) => entries.map(({ id }) => id);

/** Delivers events in batches and waits until views have all of them. */
async function deliver(door: Door, events: readonly object[]): Promise<void> {
  const answers: Answer[] = [];
  for (let from = 0; from < events.length; from += 100) {
    const answer = await door.call('POST', '/events', events.slice(from, from + 100));
    for (const { status } of answer.body.results) expect(status).toBe('accepted');
    answers.push(answer);
  }
  // A position tells of the partitions of its own batch.
  for (const answer of answers) {
    await door.call('GET', '/conversations', undefined, seeing(answer));
  }
}

describe('lists', () => {
  it('every conversation of an app is listed once, newest first, whatever was erased between them', async () => {
    const door = await openDoor();
    const people = Array.from({ length: 180 }, (_, n) => `p${n}`);
    await deliver(
      door,
      people.map((name, n) => received(name, 'hello', { conversation: PERSONAL, ...at(n * 7) })),
    );
    const whole = await walk(door, '/conversations', 100);
    expect(whole.sizes).toEqual([100, 80]);
    const times = whole.entries.map((one) => one.lastUpdatedAt!);
    expect(times).toEqual(times.toSorted().reverse());
    expect(new Set(idsOf(whole.entries)).size).toBe(180);
    // Somebody writes again, and somebody reacts: only the first moves a conversation.
    const [moved] = whole.entries.slice(-1);
    await deliver(door, [
      received('p0', 'again', { conversation: PERSONAL, ...at(5_000) }),
      reacted('p1', 'none', '👍', { conversation: PERSONAL, ...at(6_000) }),
    ]);
    const users = await walk(door, '/users', 50);
    for (const { id } of users.entries.slice(20, 80)) {
      expect((await door.call('DELETE', `/users/${id}`)).status).toBe(200);
    }
    const rest = await walk(door, '/conversations', 30);
    expect(rest.sizes).toEqual([30, 30, 30, 30]);
    expect(rest.entries[0]!.id).toBe(moved!.id);
    const known = idsOf(whole.entries).slice(0, -1);
    const order = known.filter((id) => idsOf(rest.entries).includes(id));
    expect(idsOf(rest.entries).slice(1)).toEqual(order);
    expect((await walk(door, '/users', 7)).entries.length).toBe(120);
  });

  it('a conversation without a message is listed', async () => {
    const door = await openDoor();
    await door.call('POST', '/users', { externalId: 'ann' });
    const participants = [{ userExternalId: 'ann' }];
    for (const type of ['personal', 'sdkGroup']) {
      const made = await door.call('POST', '/conversations', { type, participants });
      expect(made.status).toBe(201);
      const seen = await door.call('GET', '/conversations', undefined, seeing(made));
      expect(seen.body.conversations[0].id).toBe(made.body.conversation.id);
    }
    const own = await walk(door, '/conversations?filter[userExternalId]=ann', 1);
    expect(own.sizes).toEqual([1, 1]);
  });

  it('a person’s conversations are listed whole, newest first, but for groups that they left', async () => {
    const door = await openDoor();
    const rooms = Array.from({ length: 60 }, (_, n) => n);
    await deliver(
      door,
      rooms.flatMap((n) => [
        received('ann', 'hello', { conversation: groupOf(n), ...at((n * 37) % 60) }),
        received('ben', 'hello', { conversation: groupOf(n), ...at(100 + n) }),
      ]),
    );
    const whole = await walk(door, '/conversations', 100);
    await deliver(door, [
      left('ann', { conversation: groupOf(59), ...at(200) }),
      left('ann', { conversation: groupOf(58), ...at(200) }),
      joined('ann', { conversation: groupOf(58), ...at(201) }),
    ]);
    const users = await walk(door, '/users', 100);
    const own = await Promise.all(
      users.entries.map(({ id }) => walk(door, `/conversations?filter[userId]=${id}`, 25)),
    );
    const sizes = own.map((one) => one.sizes).toSorted((a, b) => a.at(-1)! - b.at(-1)!);
    expect(sizes).toEqual([
      [25, 25, 9],
      [25, 25, 10],
    ]);
    const hers = own.find(({ entries }) => entries.length === 59)!;
    const [newest, second, ...others] = idsOf(whole.entries);
    expect(idsOf(hers.entries)).toEqual([second, ...others]);
    expect(idsOf(own.find(({ entries }) => entries.length === 60)!.entries).slice(0, 2)).toEqual([
      second,
      newest,
    ]);
  });

  it('users are listed once, however many identities they have, and authors of the business are none', async () => {
    const door = await openDoor();
    const made = await door.call('POST', '/users', { externalId: 'ann' });
    await deliver(door, [
      received('ben', 'hello', { conversation: PERSONAL }),
      sent('ben', 'good day', { displayName: 'Desk' }),
    ]);
    const users = await door.call('GET', '/users', undefined, seeing(made));
    expect(users.body.users.map((one: { identities: unknown }) => one.identities)).toEqual([
      [{ type: 'chat', value: 'ben' }],
      [],
    ]);
    expect(users.body.users[1].externalId).toBe('ann');
  });

  it('who takes part is listed to its end', async () => {
    const door = await openDoor();
    const names = Array.from({ length: 70 }, (_, n) => `p${n}`);
    await deliver(
      door,
      names.map((name, n) => joined(name, at(n))),
    );
    const [group] = (await walk(door, '/conversations', 10)).entries;
    const path = `/conversations/${group!.id}/participants`;
    expect((await walk(door, path, 30)).sizes).toEqual([30, 30, 10]);
    const { entries } = await walk(door, path, 100);
    await door.call('DELETE', `/users/${entries[3]!.id}`);
    expect(idsOf((await walk(door, path, 69)).entries)).toEqual(
      idsOf(entries).filter((id) => id !== entries[3]!.id),
    );
  });

  it('a cursor goes on where it stood when what it stood at was erased and reclaimed', async () => {
    const clock = new MovedClock();
    const door = await openDoor(clock);
    const texts = Array.from({ length: 9 }, (_, n) => n);
    await deliver(
      door,
      texts.map((n) => received(n === 4 ? 'ben' : 'ann', `text ${n}`, at(n))),
    );
    const [group] = (await walk(door, '/conversations', 10)).entries;
    const path = `/conversations/${group!.id}/messages`;
    const page = await door.call('GET', `${path}?page[size]=5`);
    const { beforeCursor } = page.body.meta;
    const [{ id, author }] = page.body.messages;
    const lists = await Promise.all([
      door.call('GET', '/conversations?page[size]=1'),
      door.call('GET', '/users?page[size]=1'),
    ]);
    expect((await door.call('DELETE', `/users/${author.userId}`)).status).toBe(200);
    clock.move(40);
    expect((await reclaimDue(door.store)).losses).toBe(1);
    await rebuildViews(
      door.store.backends.projector(),
      door.store.backends.reader().keyring,
      () => undefined,
    );
    expect((await door.call('GET', `${path}/${id}`)).status).toBe(404);
    const older = await door.call('GET', `${path}?page[before]=${beforeCursor}`);
    const said = (one: { content: { text: string } }) => one.content.text;
    expect(older.body.messages.map(said)).toEqual(['text 0', 'text 1', 'text 2', 'text 3']);
    for (const [i, name] of ['conversations', 'users'].entries()) {
      const { meta } = lists[i]!.body;
      const next = `/${name}?page[after]=${meta.afterCursor}`;
      expect((await door.call('GET', meta.afterCursor ? next : `/${name}`)).status).toBe(200);
    }
  });

  it('what is no cursor of a list is refused, and told where to take one from', async () => {
    const door = await openDoor();
    for (const cursor of ['x', 'f'.repeat(32), 'A'.repeat(42), 'A'.repeat(44)]) {
      for (const list of ['users', 'conversations']) {
        const refused = await door.call('GET', `/${list}?page[after]=${cursor}`);
        expect(refused.status).toBe(400);
        expect(refused.body.errors[0]).toMatchObject({
          title: expect.stringContaining('meta.afterCursor'),
          source: { pointer: '/page[after]' },
        });
      }
    }
  });
});
