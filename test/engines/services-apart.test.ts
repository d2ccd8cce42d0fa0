import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { removeEngines } from '../../libs/wiring/throwaway-engines.ts';
import { fakeTime } from '../servers/fake-time.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe, type Running, startLethe } from '../support/processes.ts';
import { storeVariables, temporaryFolder } from '../support/temporary-store.ts';

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('services apart on the engines', figures));

const KILLS = 50;
// The cores are shared with all servers and with what starts again after each kill.
const CLIENT_PAUSE_MS = 30;

type Name = 'ingest' | 'projector' | 'reader' | 'privacy';

interface Service {
  readonly name: Name;
  running: Running;
  address: string;
}

interface ServiceSet {
  readonly folder: string;
  readonly app: string;
  readonly services: Service[];
  start(name: Name): Promise<{ running: Running; address: string }>;
  of(name: Name): Service[];
  call(service: Service, method: string, path: string, body?: unknown): Promise<Answer>;
}

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are compared, not computed with
  readonly body: any;
}

/**
 * Two of ingest, projector and reader, one of privacy, each a process of its own. `oddClock`: what
 * the second of each pair lives with.
 */
async function openSet(oddClock: Record<string, string> = {}): Promise<ServiceSet> {
  const folder = temporaryFolder();
  const env = { ...storeVariables(folder) };
  onTestFinished(() => removeEngines(readConfiguration(env)));
  expect((await lethe(folder, ['migrate'])).code).toBe(0);
  const made = await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16']);
  const { id, secret } = (await lethe(folder, ['keys', 'create', '--app', 'demo'])).json.key;
  const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
  const start = async (name: Name, more: Record<string, string> = {}) => {
    const running = startLethe(folder, ['serve', name, '--json'], more);
    const { listening } = JSON.parse((await running.printed('\n')).trim());
    return { running, address: listening as string };
  };
  const names: Name[] = [
    'ingest',
    'ingest',
    'projector',
    'projector',
    'reader',
    'reader',
    'privacy',
  ];
  const services = await Promise.all(
    names.map(async (name, i): Promise<Service> => {
      const isSecond = names[i - 1] === name;
      return { name, ...(await start(name, isSecond ? oddClock : {})) };
    }),
  );
  const app = made.json.app.id as string;
  return {
    folder,
    app,
    services,
    start,
    of: (name) => services.filter((one) => one.name === name),
    async call({ address }, method, path, body) {
      const answer = await fetch(`${address}/v2/apps/${app}${path}`, {
        method,
        headers: { authorization, 'content-type': 'application/json' },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
    },
  };
}

/** The texts of a conversation, all pages; null for what cannot be opened. */
async function textsOf(set: ServiceSet, reader: Service, conversation: string) {
  const texts: (string | null)[] = [];
  for (let before = ''; ; ) {
    const path = `/conversations/${conversation}/messages?page[size]=100${before}`;
    const { status, body } = await set.call(reader, 'GET', path);
    expect(status, JSON.stringify(body)).toBe(200);
    // biome-ignore lint/suspicious/noExplicitAny: as above
    texts.unshift(...body.messages.map((one: any) => (one.deleted ? null : one.content.text)));
    if (!body.meta.hasMore) return texts;
    before = `&page[before]=${body.meta.beforeCursor}`;
  }
}

/** A person's personal conversation, as soon as the views have it. */
async function conversationOf(set: ServiceSet, name: string): Promise<string> {
  const found = await lethe(set.folder, ['find', 'chat', name, '--app', 'demo']);
  expect(found.code).toBe(0);
  const [reader] = set.of('reader') as [Service];
  const path = `/conversations?filter[userId]=${found.json.subjectId}`;
  return vi.waitFor(
    async () => {
      const { body } = await set.call(reader, 'GET', path);
      expect(body.conversations.length).toBe(1);
      return body.conversations[0].id;
    },
    { timeout: 30_000, interval: 200 },
  );
}

describe('services as processes of their own on Kafka, Cassandra and AWS KMS', () => {
  it('take in once what two of them are given, and serve nothing of an erased person after T0', async () => {
    const set = await openSet();
    const [one, other] = set.of('ingest') as [Service, Service];
    const events = ['ann', 'ben', 'carl'].flatMap((name) =>
      [1, 2, 3].map((n) => {
        const time = `2025-03-01T12:00:0${n}.000Z`;
        return received(name, `${name} ${n}`, { conversation: PERSONAL, time });
      }),
    );
    const answers = await Promise.all(
      [one, other].map((service) => set.call(service, 'POST', '/events', events)),
    );
    const count = (of: string) => answers.reduce((sum, { body }) => sum + body[of], 0);
    expect([count('accepted'), count('duplicate')]).toEqual([9, 9]);
    const [ann, ben] = [await conversationOf(set, 'ann'), await conversationOf(set, 'ben')];
    const readers = set.of('reader');
    for (const [conversation, name] of [
      [ann, 'ann'],
      [ben, 'ben'],
    ] as const) {
      const all = [1, 2, 3].map((n) => `${name} ${n}`);
      for (const reader of readers) {
        await vi.waitFor(
          async () => expect(await textsOf(set, reader, conversation)).toEqual(all),
          { timeout: 30_000, interval: 200 },
        );
      }
    }
    const { subjectId } = (await lethe(set.folder, ['find', 'chat', 'ann', '--app', 'demo'])).json;
    const erased = await lethe(set.folder, ['erase', 'subject', subjectId, '--app', 'demo']);
    expect(erased.code, erased.err).toBe(0);
    for (const reader of readers) {
      expect((await set.call(reader, 'GET', `/conversations/${ann}/messages`)).status).toBe(404);
      expect(await textsOf(set, reader, ben)).toEqual(['ben 1', 'ben 2', 'ben 3']);
    }
    const again = await set.call(one, 'POST', '/events', events.slice(0, 3));
    expect(again.body).toMatchObject({ accepted: 0, erased: 3 });
    const { waitedMs, holders } = erased.json.t0;
    figures.erase = { waitedMs, holders: holders.length };
  });

  it('lose nothing and show nothing erased when the clock of one of each pair is 10 s ahead', async () => {
    const set = await openSet(fakeTime(10));
    const ingests = set.of('ingest');
    const aheadMs = async ({ address }: Service) => {
      const { headers } = await fetch(`${address}/healthz`);
      return Date.parse(headers.get('date')!) - Date.now();
    };
    expect(await aheadMs(ingests[1]!)).toBeGreaterThan(8_000);
    expect(Math.abs(await aheadMs(ingests[0]!))).toBeLessThan(2_000);
    const said = (name: string) => Array.from({ length: 12 }, (_, n) => `${name} ${n + 1}`);
    const event = (name: string, n: number) => {
      const time = new Date(Date.UTC(2025, 2, 1) + n * 1_000).toISOString();
      return received(name, `${name} ${n}`, { id: `${name} ${n}`, conversation: PERSONAL, time });
    };
    for (let n = 1; n <= 12; n += 1) {
      const batch = ['ann', 'ben'].map((name) => event(name, n));
      expect((await set.call(ingests[n % 2]!, 'POST', '/events', batch)).body.accepted).toBe(2);
      // What the other one is given too is known to it.
      const again = await set.call(ingests[(n + 1) % 2]!, 'POST', '/events', batch);
      expect(again.body.duplicate).toBe(2);
    }
    const [ann, ben] = [await conversationOf(set, 'ann'), await conversationOf(set, 'ben')];
    const readers = set.of('reader');
    const untilSeen = (reader: Service, conversation: string, texts: string[]) =>
      vi.waitFor(async () => expect(await textsOf(set, reader, conversation)).toEqual(texts), {
        timeout: 30_000,
        interval: 200,
      });
    for (const reader of readers) await untilSeen(reader, ann, said('ann'));
    const { subjectId } = (await lethe(set.folder, ['find', 'chat', 'ann', '--app', 'demo'])).json;
    const erased = await lethe(set.folder, ['erase', 'subject', subjectId, '--app', 'demo']);
    expect(erased.code, erased.err).toBe(0);
    for (const reader of readers) {
      expect((await set.call(reader, 'GET', `/conversations/${ann}/messages`)).status).toBe(404);
      await untilSeen(reader, ben, said('ben'));
    }
    for (const ingest of ingests) {
      const again = await set.call(ingest, 'POST', '/events', [event('ann', 1)]);
      expect(again.body).toMatchObject({ accepted: 0, erased: 1 });
    }
    figures['clock 10 s ahead'] = { t0WaitedMs: erased.json.t0.waitedMs };
  });

  it('lose nothing that was acknowledged when any of them is killed (kill -9), 50 times under load', async () => {
    const set = await openSet();
    const acknowledged = new Set<string>();
    let [asked, refused] = [0, 0];
    let isOver = false;
    const client = async (n: number) => {
      while (!isOver) {
        asked += 1;
        const text = `asked ${asked}`;
        const event = received(`person-${n}`, text, { id: text, conversation: PERSONAL });
        const services = set.of('ingest');
        try {
          const { body } = await set.call(
            services[asked % services.length]!,
            'POST',
            '/events',
            event,
          );
          if (body.accepted === 1 || body.duplicate === 1) acknowledged.add(text);
          else refused += 1;
        } catch {
          // Killed under this request: it was not acknowledged.
          refused += 1;
        }
        await sleep(CLIENT_PAUSE_MS);
      }
    };
    const clients = Promise.all([0, 1, 2, 3].map(client));
    const killed: Partial<Record<Name, number>> = {};
    // Two at a time: one is killed while another one starts again.
    const killSome = async (victims: readonly Service[]) => {
      for (let kill = 0; kill < KILLS / 2; kill += 1) {
        await sleep(Math.random() * 1_500);
        const victim = victims[Math.floor(Math.random() * victims.length)]!;
        killed[victim.name] = (killed[victim.name] ?? 0) + 1;
        victim.running.child.kill('SIGKILL');
        await victim.running.ended;
        Object.assign(victim, await set.start(victim.name));
      }
    };
    const everySecond = (from: number) => set.services.filter((_, i) => i % 2 === from);
    await Promise.all([killSome(everySecond(0)), killSome(everySecond(1))]);
    isOver = true;
    await clients;
    const [reader] = set.of('reader') as [Service];
    const conversations = await Promise.all(
      [0, 1, 2, 3].map((n) => conversationOf(set, `person-${n}`)),
    );
    const deadline = performance.now() + 60_000;
    let texts: (string | null)[] = [];
    let missing: string[] = [];
    do {
      await sleep(500);
      texts = (await Promise.all(conversations.map((one) => textsOf(set, reader, one)))).flat();
      const there = new Set(texts);
      missing = [...acknowledged].filter((text) => !there.has(text));
    } while (missing.length > 0 && performance.now() < deadline);
    figures['kill -9'] = { kills: killed, asked, refused, acknowledged: acknowledged.size };
    expect(missing).toEqual([]);
    expect(new Set(texts).size).toBe(texts.length);
    expect(acknowledged.size).toBeGreaterThan(50);
  });
});
