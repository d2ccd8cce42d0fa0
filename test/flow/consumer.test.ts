import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { makeBackup } from '../../services/operations/backup.ts';
import { restore } from '../../services/operations/restore.ts';
import { type Door, doorOf } from '../support/door.ts';
import {
  edited,
  GROUP,
  joined,
  left,
  PERSONAL,
  profile,
  reacted,
  receipt,
  received,
  sent,
} from '../support/events.ts';
import { startScript } from '../support/processes.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

const CONSUMER = join(import.meta.dirname, '../support/reference-consumer.ts');

// biome-ignore lint/suspicious/noExplicitAny: what is compared is JSON
type Json = any;

/** When it was last written in is told by its messages. */
const lasting = ({ lastUpdatedAt: _, ...about }: Json = {}) => about;

async function* pages(door: Door, path: string, name: string): AsyncGenerator<Json> {
  for (let cursor = ''; ; ) {
    const { body } = await door.call('GET', path + cursor);
    yield* body[name];
    if (!body.meta.hasMore) return;
    cursor = `?page[after]=${body.meta.afterCursor}`;
  }
}

/** All that an app shows now, less placeholders. */
async function source(door: Door): Promise<Json> {
  const users: Json = {};
  const conversations: Json = {};
  for await (const user of pages(door, '/users', 'users')) users[user.id] = user;
  for await (const about of pages(door, '/conversations', 'conversations')) {
    const path = `/conversations/${about.id}`;
    const participants = await Array.fromAsync(
      pages(door, `${path}/participants`, 'participants'),
      ({ userId }) => userId,
    );
    const messages: Json = {};
    for (const message of (await door.call('GET', `${path}/messages`)).body.messages) {
      if (!message.deleted) messages[message.id] = message;
    }
    conversations[about.id] = {
      about: lasting(about),
      participants: participants.toSorted(),
      messages,
    };
  }
  return { users, conversations };
}

function copyIn(file: string): Json {
  if (!existsSync(file)) return undefined;
  const { users, conversations } = JSON.parse(readFileSync(file, 'utf8'));
  const own = Object.entries<Json>(conversations).map(([id, one]) => {
    const { about, participants, messages } = one;
    return [id, { about: lasting(about), participants: participants.toSorted(), messages }];
  });
  return { users, conversations: Object.fromEntries(own) };
}

/** Empty lists and absent ones are the same to a consumer. */
const plain = (value: Json) =>
  JSON.parse(
    JSON.stringify(value, (_, one) => (Array.isArray(one) && !one.length ? undefined : one)),
  );

async function expectSame(door: Door, file: string): Promise<void> {
  await door.store.project();
  await expect
    .poll(async () => plain(copyIn(file) ?? {}), { timeout: 20_000, interval: 200 })
    .toEqual(plain(await source(door)));
}

let serial = 0;
const at = () => {
  serial += 1;
  return { id: `e${serial}`, time: new Date(1_740_000_000_000 + serial * 3_600_000).toISOString() };
};

/** Something of every kind, of people who are there and some who are new. */
function happenings(round: number): object[] {
  const [one, other] = [`p${round}`, `p${round + 1}`];
  const own = { conversation: PERSONAL };
  const first = at();
  const second = at();
  return [
    received(one, `private ${round}`, { ...own, ...first, displayName: `Name ${round}` }),
    sent(one, `answer ${round}`, { ...own, ...at() }),
    received(other, `in the room ${round}`, { conversation: GROUP, ...second }),
    received(one, `there, too ${round}`, { conversation: GROUP, ...at() }),
    edited(one, first.id, `changed ${round}`, { ...own, ...at() }),
    reacted(one, second.id, '👍', { conversation: GROUP, ...at() }),
    reacted(other, second.id, '🎉', { conversation: GROUP, ...at() }),
    receipt(one, second.id, 'read', { conversation: GROUP, ...at() }),
    profile(other, { givenName: `Given ${round}` }, at()),
    joined(`q${round}`, { conversation: GROUP, ...at() }),
    left(`q${round}`, { conversation: GROUP, ...at() }),
  ];
}

/** What takes something away, another thing each round. */
async function take(door: Door, round: number): Promise<void> {
  const { users, conversations } = await source(door);
  const [user] = Object.keys(users);
  const [conversation] = Object.keys(conversations);
  const [message] = Object.keys(conversations[conversation!]?.messages ?? {});
  const paths = [
    `/users/${user}`,
    `/conversations/${conversation}/messages/${message}`,
    `/users/${user}/personalinformation`,
    `/conversations/${conversation}/messages`,
  ];
  expect((await door.call('DELETE', paths[round % paths.length]!)).status).toBe(200);
}

const startConsumer = ({ base, key }: Door, file: string) =>
  startScript(CONSUMER, [base, `Basic ${btoa(`${key.id}:${key.secret}`)}`, file], process.env);

async function restored(store: TestStore, backups: string): Promise<TestStore> {
  await store.ingest.close();
  await store.backends.close();
  renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
  const onProgress = () => undefined;
  await restore(store.configuration, backups, {
    isNewerRemoved: false,
    erasuresHead: 'any',
    onProgress,
  });
  return openAt(store.folder, {}, store.app.id);
}

it('S59 a consumer that is killed, written past, erased past and restored past has what the source has', async () => {
  const store = await openTestStore();
  const door = await doorOf(store);
  const file = join(store.folder, 'copy.json');
  await store.deliver(...happenings(0));
  let consumer = startConsumer(door, file);
  await expectSame(door, file);
  const backups = join(store.folder, 'backups');
  for (let round = 1; round <= 8; round += 1) {
    await store.deliver(...happenings(round));
    await sleep(40 * (round % 4));
    consumer.child.kill('SIGKILL');
    await consumer.ended;
    if (round === 5) await makeBackup(store, backups, Date.now());
    await store.deliver(...happenings(round + 100));
    await take(door, round);
    consumer = startConsumer(door, file);
    await take(door, round + 1);
    await store.deliver(...happenings(round + 200));
    await expectSame(door, file);
  }
  await door.stop();
  consumer.child.kill('SIGKILL');
  const back = await doorOf(await restored(store, backups));
  // It has gone on past where the consumer had read up to.
  await back.store.deliver(...happenings(300), ...happenings(301), ...happenings(302));
  startConsumer(back, file);
  await expectSame(back, file);
}, 240_000);
