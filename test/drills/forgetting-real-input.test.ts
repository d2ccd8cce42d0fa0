import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { textToDay } from '../../libs/base/day.ts';
import type { AppId, ConversationId, MessageId, SubjectId } from '../../libs/base/ids.ts';
import { decodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { type MessageJson, readMessages } from '../../services/reader/read-messages.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe } from '../support/processes.ts';
import { recordsOf } from '../support/reading.ts';
import { inputFiles } from '../support/real-input.ts';
import { openAt, type TestStore, temporaryFolder } from '../support/temporary-store.ts';

const FORGOTTEN_MESSAGES = 1_000;
const CLEARED_CONVERSATIONS = 50;
const PAGE = 1_000;

/** What of a message tells what was lost with it. */
interface Seen {
  readonly owner: string;
  readonly conversation: ConversationId;
  readonly occurredAt: number;
  readonly hash: string;
}

const hashOf = (message: MessageJson) =>
  createHash('sha256').update(JSON.stringify(message)).digest('base64');

async function conversationsOf(store: TestStore): Promise<ConversationId[]> {
  const found = new Set<string>();
  for await (const { value } of recordsOf(store)) {
    const { header } = decodeSealedEvent(value);
    if (header.type === 'MessagePosted') found.add(header.stream);
  }
  return [...found] as ConversationId[];
}

/** Every message of the app as people read it, one after another. */
async function* everyMessage(store: TestStore, conversations: readonly ConversationId[]) {
  const powers = store.backends.reader();
  for (const conversation of conversations) {
    for (let after = '00'; ; ) {
      const views = await powers.views.messages(conversation, { after, limit: PAGE });
      if (views.length === 0) break;
      const query = { conversation, page: { after, limit: PAGE } };
      const { messages } = await readMessages(powers, store.app.id, query);
      const byId = new Map(messages.map((one) => [one.id, one]));
      for (const view of views) {
        yield { conversation, view, message: byId.get(view.message) };
      }
      after = views.at(-1)!.position;
    }
  }
}

async function dump(store: TestStore, conversations: readonly ConversationId[]): Promise<string> {
  const digest = createHash('sha256');
  for await (const { view, message } of everyMessage(store, conversations)) {
    digest.update(JSON.stringify([view.position, message ?? null]));
  }
  return digest.digest('hex');
}

async function closed<Result>(
  folder: string,
  app: AppId,
  work: (store: TestStore) => Promise<Result>,
): Promise<Result> {
  const store = await openAt(folder, {}, app);
  try {
    return await work(store);
  } finally {
    await store.ingest.close();
    await store.backends.close();
  }
}

describe('real conversations, of which much is forgotten', () => {
  it('are rebuilt to the same bytes minus what is gone, and nothing comes back when all is sent again', async () => {
    const folder = temporaryFolder();
    const app = (await lethe(folder, ['apps', 'create', 'demo'])).json.app.id as AppId;
    const [[file, count] = ['', 0]] = inputFiles(folder);
    expect((await lethe(folder, ['ingest', file, '--app', 'demo'])).json.accepted).toBe(count);
    const figures: Record<string, unknown> = { messages: count };
    const lost = await closed(folder, app, async (store) => {
      const conversations = await conversationsOf(store);
      const before = new Map<string, Seen>();
      const years = new Map<number, number>();
      for await (const { conversation, view, message } of everyMessage(store, conversations)) {
        const { owner, occurredAt } = decodeSealedEvent(view.record).header;
        before.set(view.message, { owner, conversation, occurredAt, hash: hashOf(message!) });
        const year = new Date(occurredAt).getUTCFullYear();
        years.set(year, (years.get(year) ?? 0) + 1);
      }
      expect(before.size).toBe(count);
      // The least of the years, so that something is left to be compared.
      const [year] = [...years].sort((a, b) => a[1] - b[1])[0]!;
      const days = { fromDay: textToDay(`${year}-01-01`), toDay: textToDay(`${year}-12-31`) };
      const every = (n: number) => (_: unknown, i: number) => i % n === 0;
      const ids = [...before.keys()];
      const owners = [...new Set([...before.values()].map((one) => one.owner))];
      const people = owners.filter(every(100)) as SubjectId[];
      const step = Math.floor(conversations.length / CLEARED_CONVERSATIONS);
      const cleared = conversations.filter(every(step)).slice(0, CLEARED_CONVERSATIONS);
      const forgotten = ids
        .filter(every(Math.floor(ids.length / FORGOTTEN_MESSAGES)))
        .slice(0, FORGOTTEN_MESSAGES);
      const privacy = createPrivacy(store.backends.privacy());
      const began = performance.now();
      for (const id of forgotten) {
        const { conversation } = before.get(id)!;
        const outcome = await privacy.forgetMessage(app, conversation, id as MessageId);
        expect(outcome.status).toBe('done');
      }
      for (const id of cleared)
        expect((await privacy.clearConversation(app, id)).status).toBe('done');
      expect((await privacy.forgetDays(app, days)).status).toBe('done');
      const erased = await privacy.eraseSubjects(app, people);
      expect(new Set(erased.map((one) => one.status))).toEqual(new Set(['done']));
      figures.forgettingSeconds = Math.round((performance.now() - began) / 100) / 10;
      Object.assign(figures, { forgotten: forgotten.length, cleared: cleared.length });
      Object.assign(figures, { people: people.length, year, ofPeople: owners.length });
      const gone = new Set([...people, ...cleared, ...forgotten] as string[]);
      const isLost = (id: string, { owner, conversation, occurredAt }: Seen) =>
        [id, owner, conversation].some((one) => gone.has(one)) ||
        new Date(occurredAt).getUTCFullYear() === year;
      let left = 0;
      for await (const { view, message } of everyMessage(store, conversations)) {
        const seen = before.get(view.message)!;
        if (isLost(view.message, seen)) {
          expect(message?.content ?? null, view.message).toBeNull();
          continue;
        }
        expect(hashOf(message!), view.message).toBe(seen.hash);
        left += 1;
      }
      figures.left = left;
      expect(left).toBeGreaterThan(count / 4);
      const { log } = store.backends.reader();
      expect(await log.deadLetters.list()).toEqual([]);
      return { conversations, dump: await dump(store, conversations) };
    });
    const rebuilt = await lethe(folder, ['rebuild']);
    expect(rebuilt.code).toBe(0);
    figures.rebuildSeconds = rebuilt.json.seconds;
    const dumpNow = () => closed(folder, app, (store) => dump(store, lost.conversations));
    expect(await dumpNow()).toBe(lost.dump);
    const again = await lethe(folder, ['ingest', file, '--app', 'demo']);
    expect(again.json).toMatchObject({ accepted: 0, rejected: 0 });
    figures.again = again.json;
    expect(await dumpNow()).toBe(lost.dump);
    expect((await lethe(folder, ['doctor'])).json).toMatchObject({ passed: true });
    recordFigures('forgetting among real conversations', figures);
  });
});
