/** Somebody is erased; then the memory of every service is searched for what their keys were. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { PERSONAL, profile, received } from './events.ts';
import { searchMemory } from './memory-search.ts';
import { lethe, type Running, startLethe } from './processes.ts';
import { defaultConversationOf, subjectOf } from './reading.ts';
import { rootsOf, secretsOf } from './secrets.ts';
import { openTestStore } from './temporary-store.ts';

const WORDS = 'words that ann has written';
const COLLECT = join(import.meta.dirname, 'collect-on-signal.ts');

/** Collects the garbage of a process. */
async function collect({ child }: Running): Promise<void> {
  const done = new Promise<void>((resolve) => {
    child.stderr!.on('data', (text) => String(text).includes('collected') && resolve());
  });
  child.kill('SIGUSR2');
  await done;
}

async function openServices(isApart: boolean) {
  const store = await openTestStore();
  const { app, backends, folder } = store;
  await store.deliver(received('ann', 'first', { conversation: PERSONAL }));
  const conversations = { ann: await defaultConversationOf(store, 'ann'), bob: '' };
  const ann = await subjectOf(store, 'ann');
  const [entry] = await backends.reader().directory.subjects(app.id, [ann]);
  const { accessKeys, clock } = backends.administration();
  const key = await accessKeys.create({ app: app.id, scope: 'app', nowMs: clock.nowMs() });
  const authorization = `Basic ${btoa(`${key.id}:${key.secret}`)}`;
  const running: Record<string, Running> = {};
  const serve = async (name: string, ...services: string[]) => {
    const more = { NODE_OPTIONS: `--import=${COLLECT}` };
    running[name] = startLethe(folder, ['serve', ...services, '--json'], more);
    return JSON.parse((await running[name].printed('\n')).trim()).listening as string;
  };
  if (isApart) startLethe(folder, ['serve', 'projector']);
  const one = isApart ? undefined : await serve('all');
  const doors = {
    ingest: one ?? (await serve('ingest', 'ingest')),
    reader: one ?? (await serve('reader', 'reader')),
    privacy: one ?? (await serve('privacy', 'privacy')),
  };
  const call = async (door: keyof typeof doors, method: string, path: string, body?: unknown) => {
    const answer = await fetch(`${doors[door]}/v2/apps/${app.id}/${path}`, {
      method,
      headers: { authorization, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    await answer.text();
    return answer.status;
  };
  return { store, ann, alias: entry!.value.alias, conversations, running, call };
}

type Services = Awaited<ReturnType<typeof openServices>>;

/** Somebody else's messages come in and are read all the time, until it is stopped. */
function startOthers({ call, conversations }: Services) {
  let isStopped = false;
  const work = (async () => {
    // At T0 the answer under way is taken back: its connection is reset.
    for (let n = 0; !isStopped; n += 1) {
      await call('ingest', 'POST', 'events', [received(`other-${n % 50}`, `words ${n}`)]);
      const page = `conversations/${conversations.ann}/messages`;
      await call('reader', 'GET', page).catch(() => undefined);
    }
  })();
  return async () => {
    isStopped = true;
    await work;
  };
}

/** What was looked for, and how much of it each process had before. */
export interface MemoryFigures {
  readonly lookedFor: number;
  readonly before: Readonly<Record<string, number>>;
  /** How often words that were unsealed lie in memory: that is measured, and not promised. */
  readonly wordsAtT0: number;
  readonly wordsAfterCollection: number;
}

/** Fails when something of the erased person's keys is left, after T0 or after T1. */
export async function searchAfterErase(of: {
  readonly isApart: boolean;
  readonly isBusy: boolean;
  readonly messages: number;
}): Promise<MemoryFigures> {
  const services = await openServices(of.isApart);
  const { store, ann, alias, conversations, running, call } = services;
  const events = Array.from({ length: of.messages }, (_, n) =>
    received('ann', `${WORDS} ${n}`, { conversation: PERSONAL }),
  );
  events.push(profile('ann', { givenName: 'Ann' }));
  expect(await call('ingest', 'POST', 'events', events)).toBe(200);
  await sleep(1_000);
  const page = `conversations/${conversations.ann}/messages`;
  for (let n = 0; n < 100; n += 1) expect(await call('reader', 'GET', page)).toBe(200);
  expect(await call('reader', 'GET', `users/${alias}`)).toBe(200);
  const secrets = await secretsOf(store, ann);
  expect(secrets.size).toBeGreaterThan(of.messages * 2);
  const find = ({ child }: Running, needles: ReadonlyMap<string, Buffer>) =>
    searchMemory(child.pid!, needles);
  const all = Object.entries(running);
  const before = all.map(([name, one]) => [name, Object.keys(find(one, secrets)).length] as const);
  // What is looked for is there while she lives: else this would show nothing.
  expect(Math.max(...before.map(([, kinds]) => kinds))).toBeGreaterThan(3);
  const stop = of.isBusy ? startOthers(services) : async () => undefined;
  if (of.isBusy) await sleep(1_000);
  expect(await call('privacy', 'DELETE', `users/${alias}`)).toBe(200);
  const words = new Map([['words', Buffer.from(WORDS)]]);
  const countWords = () => all.reduce((sum, [, one]) => sum + (find(one, words).words ?? 0), 0);
  const wordsAtT0 = countWords();
  const nothing = Object.fromEntries(Object.keys(running).map((name) => [name, {}]));
  const left: Record<string, Record<string, number>> = {};
  for (const [name, one] of all) {
    await collect(one);
    left[name] = find(one, secrets);
  }
  const wordsAfterCollection = countWords();
  await stop();
  expect(left).toEqual(nothing);
  const roots = await rootsOf(store, ann);
  const held = all.map(([, one]) => Object.keys(find(one, roots)).length);
  expect(Math.max(...held)).toBeGreaterThan(1);
  const turned = await lethe(store.folder, ['epoch', 'turn']);
  expect(turned.code, turned.err).toBe(0);
  for (const [name, one] of all) {
    await collect(one);
    left[name] = find(one, new Map([...secrets, ...roots]));
  }
  expect(left).toEqual(nothing);
  const lookedFor = secrets.size + roots.size;
  return { lookedFor, before: Object.fromEntries(before), wordsAtT0, wordsAfterCollection };
}
