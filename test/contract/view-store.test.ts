import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Position, ViewChange } from '../../libs/conversation/view-changes.ts';
import type {
  ConversationView,
  ListPage,
  PageRequest,
  ViewStore,
} from '../../libs/views/view-store.ts';
import { temporaryFolder } from '../support/temporary-store.ts';
import { adapters } from './adapters.ts';

const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16);
const position = (ms: number, event: number) =>
  (ms.toString(16).padStart(16, '0') + '0'.repeat(16) + id(event)) as Position;

const CONVERSATION = id(1);

/** The changes that one message makes, as the fold gives them. */
function message(n: number, ms: number, attempt = 1): ViewChange[] {
  const at = position(ms, n);
  const record = Buffer.from(`record ${n} attempt ${attempt}`);
  const conversation = CONVERSATION;
  return [
    { row: 'message', conversation, message: id(n), position: at, attempt, record },
    { row: 'conversation', app: id(9), conversation, position: at, message: id(n), version: n },
    { row: 'participant', conversation, subject: id(n % 3), position: at, left: false },
  ];
}

function reaction(n: number, of: number, ms: number): ViewChange {
  const at = { position: position(ms, n), attempt: 1, record: Buffer.from(`reaction ${n}`) };
  return { row: 'change', kind: 'reaction', message: id(of), event: id(n), ...at };
}

function edit(n: number, of: number, ms: number): ViewChange {
  const at = { position: position(ms, n), attempt: 1, record: Buffer.from(`edit ${n}`) };
  return { row: 'change', kind: 'edit', message: id(of), event: id(n), ...at };
}

/** Somebody's identity that came to be known. */
function identity(n: number, subject: number, ms: number): ViewChange[] {
  const at = position(ms, n);
  const kept = { position: at, attempt: 1, record: Buffer.from(`identity ${n}`) };
  const stream = id(subject);
  return [
    { row: 'fact', stream, kind: 'IdentityLinked', key: id(n), ...kept },
    { row: 'person', app: id(9), subject: stream, position: at },
  ];
}

/** A message of a conversation of its own, of a person who takes part in it. */
function conversation(n: number, ms: number, left = false): ViewChange[] {
  const at = position(ms, n);
  const named = { conversation: id(n), position: at };
  const record = Buffer.from(`conversation ${n}`);
  return [
    { row: 'message', message: id(n), attempt: 1, record, ...named },
    { row: 'conversation', app: id(9), message: id(n), version: n, ...named },
    { row: 'participant', subject: id(5), left, ...named },
  ];
}

function fact(n: number, key: string, ms: number): ViewChange {
  const at = { position: position(ms, n), attempt: 1, record: Buffer.from(`fact ${n}`) };
  return { row: 'fact', stream: id(2), kind: 'ProfileUpdated', key, ...at };
}

/** Everything that readers can see. */
async function readAll(store: ViewStore) {
  const messages = await store.messages(CONVERSATION, { limit: 100 });
  return JSON.stringify({
    conversation: await store.conversation(CONVERSATION),
    version: (await store.version(CONVERSATION))?.split('.')[1],
    messages,
    changes: await store.changes(
      messages.map((one) => one.message),
      { edits: 1_000 },
    ),
    participants: await store.participants(CONVERSATION),
    facts: await store.facts(id(2)),
    inbox: await store.inbox(id(9), { limit: 10 }),
    people: await store.people(id(9), { limit: 10 }),
  });
}

const CHANGES: ViewChange[] = [
  ...message(10, 1_000),
  ...message(11, 2_000),
  ...message(11, 2_000, 2),
  ...message(12, 3_000),
  reaction(20, 10, 4_000),
  reaction(21, 10, 5_000),
  fact(30, 'profile', 1_000),
  fact(31, 'profile', 2_000),
  fact(32, 'metadata', 500),
  ...identity(33, 2, 1_500),
  ...identity(34, 2, 700),
];

describe.each(adapters.views)('view store %s', (engine, open) => {
  // A conversation's row is made before the rows that lie in it, within every batch.
  it('shows the same whatever order, batches and repeats the changes came in', async () => {
    const reference = await open(temporaryFolder());
    await reference.apply(await reference.generation(), CHANGES);
    const expected = await readAll(reference);
    const groups = [0, 4, 8, 12].map((at) => CHANGES.slice(at, at + 4));
    const units = [...groups, ...CHANGES.slice(16).map((one) => [one])];
    const order = fc.shuffledSubarray([...units.keys(), ...units.keys()], {
      minLength: units.length * 2,
      maxLength: units.length * 2,
    });
    await fc.assert(
      fc.asyncProperty(order, async (sequence) => {
        const store = await open(temporaryFolder());
        const generation = await store.generation();
        for (const i of sequence) await store.apply(generation, units[i]!);
        expect(await readAll(store)).toBe(expected);
      }),
      // Each run makes tables of its own, which takes an engine of several nodes seconds.
      { numRuns: engine === 'sqlite' ? 25 : 4 },
    );
  });

  it('tells another version after each event, an old one too, and never before what it tells of', async () => {
    const store = await open(temporaryFolder());
    const generation = await store.generation();
    expect(await store.version(CONVERSATION)).toBeUndefined();
    const seen = new Set<string>();
    let isWriting = true;
    const looking = (async () => {
      while (isWriting) {
        const version = await store.version(CONVERSATION);
        const page = await store.messages(CONVERSATION, { limit: 100 });
        const written = Number(version?.split('.')[1] ?? 100) - 100;
        expect(page.length).toBeGreaterThanOrEqual(written);
      }
    })();
    for (let n = 1; n <= 20; n += 1) {
      await store.apply(generation, message(100 + n, 5_000 - n));
      seen.add((await store.version(CONVERSATION))!);
    }
    isWriting = false;
    await looking;
    expect(seen.size).toBe(20);
    // An event that comes again does not bring an old version back.
    await store.apply(generation, message(101, 4_999));
    expect(await store.version(CONVERSATION)).toBe([...seen].at(-1));
  });

  it('gives the newest changes of each message, as many of a kind as are asked for, or all', async () => {
    const store = await open(temporaryFolder());
    const edits = Array.from({ length: 12 }, (_, i) => edit(100 + i, 10, 9_000 - i * 10));
    const others = [reaction(20, 10, 8_905), edit(130, 11, 9_500), reaction(21, 11, 1)];
    const all = [...message(10, 1_000), ...message(11, 1_000), ...edits, ...others];
    await store.apply(await store.generation(), all);
    const read = async (edits: number, others?: number) => {
      const newest = { edits, ...(others !== undefined && { others }) };
      const found = await store.changes([id(10), id(11)], newest);
      return found.map(({ record }) => String(record));
    };
    const newest = ['reaction 21', 'reaction 20', 'edit 100', 'edit 130'];
    expect(await read(1)).toEqual(newest);
    expect(await read(3)).toEqual([
      ...newest.slice(0, 2),
      'edit 102',
      'edit 101',
      ...newest.slice(2),
    ]);
    expect((await read(100)).length).toBe(15);
    expect(await read(1, 0)).toEqual(['edit 100', 'edit 130']);
    await store.apply(await store.generation(), [reaction(22, 10, 9_000)]);
    expect(await read(0, 1)).toEqual(['reaction 21', 'reaction 22']);
  });

  it('lists conversations and people, each once, newest first, and pages to the end of them', async () => {
    const store = await open(temporaryFolder());
    const generation = await store.generation();
    // Several in a minute, in a day, in years; most of them moved more than once.
    const times = Array.from({ length: 200 }, (_, i) => 1_000_000 + i ** 2 * 400_000);
    const moved = times.flatMap((ms, i) => [
      ...conversation(i + 20, ms),
      ...conversation(i + 20, ms + 1_000),
      ...conversation(i + 20, Math.max(1, ms - 3_000_000_000)),
      ...identity(i + 20, i + 20, ms),
      ...identity((i + 50) % 220, i + 20, ms + 90_000_000),
    ]);
    await store.apply(generation, moved);
    // What happens to messages moves nothing.
    const at = { app: id(9), position: null, message: null, version: 1_000 };
    await store.apply(generation, [{ row: 'conversation', conversation: id(20), ...at }]);
    const expected = times.map((_, i) => id(i + 20)).reverse();
    for (const limit of [1_000, 7]) {
      const walk = async <View>(
        read: (page: ListPage) => Promise<View[]>,
        placeOf: (view: View) => Position,
      ) => {
        const found: View[] = [];
        for (let before: string | undefined; ; ) {
          const page = await read({ limit, ...(before !== undefined && { before }) });
          found.push(...page);
          if (page.length < limit) return found;
          before = placeOf(page.at(-1)!);
        }
      };
      const last = ({ lastPosition }: ConversationView) => lastPosition;
      const inbox = await walk((page) => store.inbox(id(9), page), last);
      expect(inbox.map((one) => one.id)).toEqual(expected);
      expect(inbox[0]!.lastPosition).toBe(position(times.at(-1)! + 1_000, 219));
      const own = await walk((page) => store.conversationsOf(id(5), page), last);
      expect(own).toEqual(inbox);
      const people = await walk(
        (page) => store.people(id(9), page),
        ({ since }) => since,
      );
      expect(people.map((one) => one.subject)).toEqual(expected);
    }
    expect(await store.inbox(id(8), { limit: 10 })).toEqual([]);
    expect(await store.people(id(8), { limit: 10 })).toEqual([]);
  });

  it('leaves out of the conversations of a person what they have left, and names it among all', async () => {
    const store = await open(temporaryFolder());
    const generation = await store.generation();
    const joinedAgain = [...conversation(32, 2_000, true), ...conversation(32, 3_000)];
    const left = [...conversation(31, 5_000, true), ...conversation(31, 4_000)];
    await store.apply(generation, [...conversation(30, 1_000), ...left, ...joinedAgain]);
    const there = await store.conversationsOf(id(5), { limit: 10 });
    expect(there.map((one) => one.id)).toEqual([id(32), id(30)]);
    const all = await store.conversationIdsOf(id(5));
    expect(all.toSorted()).toEqual([id(30), id(31), id(32)]);
  });

  it('pages forwards and backwards from any position', async () => {
    const store = await open(temporaryFolder());
    const many = Array.from({ length: 30 }, (_, i) => message(100 + i, 1_000 + i)).flat();
    await store.apply(await store.generation(), many);
    const ids = async (page: Parameters<ViewStore['messages']>[1]) =>
      (await store.messages(CONVERSATION, page)).map((one) => one.message);
    const n = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => id(100 + from + i));
    expect(await ids({ limit: 5 })).toEqual(n(25, 30));
    expect(await ids({ limit: 5, before: position(1_010, 110) })).toEqual(n(5, 10));
    expect(await ids({ limit: 5, after: position(1_010, 110) })).toEqual(n(11, 16));
    expect((await store.message(id(103)))?.conversation).toBe(CONVERSATION);
    expect(await store.message(id(250))).toBeUndefined();
    // Those that would be forgotten with one, which two of n are with chance n / 2^40.
    expect(await store.messagesOnLeaf(CONVERSATION, id(103))).toEqual([id(103)]);
    expect(await store.messagesOnLeaf(id(2), id(103))).toEqual([]);
    expect(await store.messagesOnLeaf(CONVERSATION, id(250))).toEqual([]);
  });

  it('ends a page with the record that reaches a bound of bytes, from the end that it begins at', async () => {
    const store = await open(temporaryFolder());
    const generation = await store.generation();
    const long = (n: number) =>
      message(n, n * 1_000).map((change) =>
        change.row === 'message' ? { ...change, record: Buffer.alloc(1_000, n) } : change,
      );
    await store.apply(generation, [1, 2, 3, 4, 5].flatMap(long));
    const read = async (page: PageRequest) =>
      (await store.messages(CONVERSATION, page)).map(({ record }) => record[0]);
    expect(await read({ limit: 10, bytesMax: 1_500 })).toEqual([4, 5]);
    expect(await read({ limit: 10, bytesMax: 1 })).toEqual([5]);
    expect(await read({ limit: 1, bytesMax: 9_000 })).toEqual([5]);
    expect(await read({ limit: 10, bytesMax: 9_000 })).toEqual([1, 2, 3, 4, 5]);
    expect(await read({ after: '00', limit: 10, bytesMax: 2_000 })).toEqual([1, 2]);
    await store.apply(generation, [reaction(11, 1, 1), reaction(12, 1, 2), reaction(13, 1, 3)]);
    const all = await store.changes([id(1)], { edits: 1 });
    expect(all.length).toBe(3);
    const bytesMax = all[0]!.record.length + 1;
    expect((await store.changes([id(1)], { edits: 1, bytesMax })).length).toBe(2);
  });

  it('fills a new generation beside the one that serves, and switches at once', async () => {
    const folder = temporaryFolder();
    const store = await open(folder);
    const live = await store.generation();
    await store.apply(live, CHANGES);
    const records = async () => (await Array.fromAsync(store.scanRecords())).length;
    const before = await records();
    const next = await store.beginGeneration();
    await store.apply(next, message(77, 1));
    expect(await records()).toBe(before);
    await store.switchTo(next);
    expect(await records()).toBe(1);
    expect(await store.apply(live, CHANGES)).toBe(false);
    expect(await (await open(folder)).generation()).toBe(next);
  });

  it('never gives a generation a number that was used before, so that whoever fills a dropped one is told', async () => {
    const folder = temporaryFolder();
    const [one, other] = [await open(folder), await open(folder)];
    const first = await one.beginGeneration();
    const second = await other.beginGeneration();
    expect(second).toBeGreaterThan(first);
    expect(await one.apply(first, CHANGES)).toBe(false);
    expect(await one.switchTo(first)).toBe(false);
    expect(await other.apply(second, CHANGES)).toBe(true);
    expect(await other.switchTo(second)).toBe(true);
    expect(await one.generation()).toBe(second);
  });
});
