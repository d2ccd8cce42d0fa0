import { describe, expect, it } from 'vitest';
import { textToDay } from '../../libs/base/day.ts';
import type { ConversationId, MessageId } from '../../libs/base/ids.ts';
import type { Ring } from '../../libs/keyring/ring.ts';
import { retentionClasses, thingPath } from '../../libs/sealing/tree-path.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { messageIdOf } from '../../services/ingest/plan/seal-plan.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { previewLoss } from '../../services/privacy/life/preview.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { edited, PERSONAL, reacted, receipt, received, removed } from '../support/events.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  placeRingOf,
  subjectOf,
  textsOf,
} from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

const day = (date: string) => `${date}T12:00:00.000Z`;

/** Two people who write on the same three days. */
async function openDiaries(): Promise<TestStore> {
  const store = await openTestStore();
  const dates = ['2024-12-31', '2025-01-01', '2025-06-30'];
  for (const [i, date] of dates.entries()) {
    await store.deliver(
      received('ann', `ann ${date}`, { id: `a-${i}`, time: day(date), displayName: 'Ann' }),
      received('ben', `ben ${date}`, { id: `b-${i}`, time: day(date) }),
    );
  }
  return store;
}

const YEAR = { fromDay: textToDay('2025-01-01'), toDay: textToDay('2025-12-31') };

async function countRows({ backends }: TestStore): Promise<number> {
  let count = 0;
  for (const kind of Object.values(rowKinds)) {
    for await (const _ of backends.vaultStore().scan(kind)) count += 1;
  }
  return count;
}

describe('days', () => {
  it('of one person are forgotten, and nothing else is; they stay so through a rebuild and a cold start', async () => {
    const store = await openDiaries();
    const ann = await subjectOf(store, 'ann');
    const privacy = createPrivacy(store.backends.privacy());
    const expected = ['ann 2024-12-31', 'ben 2024-12-31', null, 'ben 2025-01-01', null];
    const days = { ...YEAR, subject: ann };
    const preview = await previewLoss(store.backends.privacy(), store.app.id, {
      kind: 'forget-days',
      target: days,
    });
    expect(preview).toMatchObject({ messages: 2, people: 1, conversations: 1 });
    expect(await textsOf(store, await groupOf(store))).not.toContain(null);
    expect((await privacy.forgetDays(store.app.id, days)).status).toBe('done');
    await store.project();
    expect((await textsOf(store, await groupOf(store))).slice(0, 5)).toEqual(expected);
    const cold = await store.reopen();
    expect((await textsOf(cold, await groupOf(cold))).slice(0, 5)).toEqual(expected);
    // Her name has no age, and her other days go on.
    const [first] = await messagesOf(cold, await groupOf(cold));
    expect(first!.author!.displayName).toBe('Ann');
  });

  it('of one retention class go without the others (receipts, not messages)', async () => {
    const store = await openDiaries();
    await store.deliver(receipt('ben', 'a-1', 'read', { time: day('2025-01-01'), id: 'r-1' }));
    const privacy = createPrivacy(store.backends.privacy());
    const days = { ...YEAR, retentionClass: retentionClasses.receipts };
    const target = { kind: 'forget-days' as const, target: days };
    const preview = await previewLoss(store.backends.privacy(), store.app.id, target);
    expect(preview.events).toEqual({ ReceiptRecorded: 1 });
    await privacy.forgetDays(store.app.id, days);
    await store.project();
    expect(await textsOf(store, await groupOf(store))).not.toContain(null);
    const message = (await messagesOf(store, await groupOf(store))).find((one) => {
      return one.content?.text === 'ann 2025-01-01';
    });
    expect(message!.receipts ?? []).toEqual([]);
  });

  it('of an app are cut for everybody by one change of one ring, and cannot come back', async () => {
    const store = await openDiaries();
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.forgetDays(store.app.id, YEAR);
    await store.project();
    const texts = await textsOf(store, await groupOf(store));
    expect(texts).toEqual(['ann 2024-12-31', 'ben 2024-12-31', null, null, null, null]);
    const late = await store.deliver(
      received('ann', 'late', { id: 'late', time: day('2025-03-01') }),
      received('ann', 'today', { id: 'today', time: day('2026-01-01') }),
    );
    expect(late.map((one) => one.status)).toEqual(['erased', 'accepted']);
    // An edit counts by its own day, and has no message any more to be shown with.
    const [outcome] = await store.deliver(
      edited('ann', 'a-1', 'again', { id: 'edit', time: day('2026-01-02') }),
    );
    expect(['accepted', 'erased']).toContain(outcome!.status);
    expect(await textsOf(store, await groupOf(store))).not.toContain('again');
  });
});

describe('a preview', () => {
  it('make nobody anew, nor a conversation, for a message of theirs that comes late', async () => {
    const store = await openDiaries();
    await createPrivacy(store.backends.privacy()).forgetDays(store.app.id, YEAR);
    const late = { id: 'late', time: day('2025-06-01') };
    const before = await countRows(store);
    const outcomes = await store.deliver(
      received('zoe', 'of a day that is gone', late),
      received('zoe', 'there, too', { ...late, id: 'later', conversation: PERSONAL }),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['erased', 'erased']);
    await expect(subjectOf(store, 'zoe')).rejects.toThrow('nobody is known');
    expect(await countRows(store)).toBe(before);
  });

  it('counts a message with its edits and reactions, a conversation and a person', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'hers', { id: '1' }),
      received('ben', 'his', { id: '2' }),
      received('ann', 'secret', { id: '3', conversation: PERSONAL }),
    );
    await store.deliver(
      edited('ann', '1', 'hers, again', { id: '4' }),
      reacted('ben', '1', '👍', { id: '5' }),
    );
    const powers = store.backends.privacy();
    const group = await groupOf(store);
    const [message] = await messagesOf(store, group);
    const { id } = store.app;
    const one = await previewLoss(powers, id, {
      kind: 'forget-message',
      target: { conversation: group, message: message!.id as MessageId },
    });
    expect(one).toMatchObject({
      events: { MessagePosted: 1, MessageEdited: 1, MessageReacted: 1 },
      messages: 1,
      neighbours: [],
    });
    const whole = await previewLoss(powers, id, {
      kind: 'clear-conversation',
      target: { conversation: group },
    });
    expect(whole.messages).toBe(2);
    const subject = await subjectOf(store, 'ann');
    const person = await previewLoss(powers, id, {
      kind: 'erase-subject',
      target: { subject },
    });
    expect(person).toMatchObject({ messages: 2, conversations: 2 });
    expect(await textsOf(store, group)).toEqual(['hers, again', 'his']);
    expect(await textsOf(store, await defaultConversationOf(store, 'ann'))).toEqual(['secret']);
    // What nobody can open any more is not counted once more.
    const privacy = createPrivacy(powers);
    await privacy.forgetMessage(id, group, message!.id as MessageId);
    const again = await previewLoss(powers, id, { kind: 'erase-subject', target: { subject } });
    expect(again).toMatchObject({ messages: 1, conversations: 1 });
    await privacy.eraseSubject(id, subject);
    const days = { fromDay: 0, toDay: 60_000 };
    const left = await previewLoss(powers, id, { kind: 'forget-days', target: days });
    expect(left).toMatchObject({ messages: 1, conversations: 1, people: 1 });
  });
});

describe('a leaf', () => {
  it('that two messages share is named by the preview, and the forget takes neither', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'first', { id: 'first' }));
    const group = await groupOf(store);
    const [one, other] = await findColliding(store, group);
    await store.deliver(
      received('ann', 'one', { id: one }),
      received('ben', 'other', { id: other }),
    );
    const messages = await messagesOf(store, group);
    const [message, neighbour] = ['one', 'other'].map((text) => {
      return messages.find((found) => found.content!.text === text)!.id as MessageId;
    });
    const powers = store.backends.privacy();
    const preview = await previewLoss(powers, store.app.id, {
      kind: 'forget-message',
      target: { conversation: group, message: message! },
    });
    expect(preview).toMatchObject({ messages: 1, neighbours: [neighbour] });
    const privacy = createPrivacy(powers);
    const refused = await privacy.forgetMessage(store.app.id, group, message!);
    expect(refused).toMatchObject({ status: 'refused' });
    expect((refused as { reason: string }).reason).toContain(neighbour);
    expect(await textsOf(store, group)).toEqual(['first', 'one', 'other']);
    // A channel’s removal meets the same refusal when it is carried out.
    await store.deliver(removed(one, { by: 'ann' }));
    await expect(runOpenRequests(powers)).rejects.toThrow('share a leaf');
    expect(await runOpenRequests(powers)).toBe(0);
    expect(await textsOf(store, group)).toEqual(['first', 'one', 'other']);
    // One that shares its leaf with nobody goes, and they stay.
    await privacy.forgetMessage(store.app.id, group, messages[0]!.id as MessageId);
    expect(await textsOf(store, group)).toEqual([null, 'one', 'other']);
  }, 120_000);

  it('of an attachment goes, and its message stays', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'see this', { id: '1' }));
    const group = await groupOf(store);
    const [{ id: message } = { id: '' }] = await messagesOf(store, group);
    const attachment = 'a7'.repeat(16);
    const ref = await placeRingOf(store, group);
    const hasLeaf = (thing: string) =>
      store.backends.reader().keyring.use([ref], async ([ring]) => {
        return (ring as Ring).writeThingLeaf(Buffer.from(thing, 'hex'), Buffer.alloc(32));
      });
    expect(await hasLeaf(attachment)).toBe(true);
    const privacy = createPrivacy(store.backends.privacy());
    const of = { conversation: group, message: message as MessageId, attachment };
    expect((await privacy.forgetAttachment(store.app.id, of)).status).toBe('done');
    expect([await hasLeaf(attachment), await hasLeaf(message)]).toEqual([false, true]);
    expect(await textsOf(store, group)).toEqual(['see this']);
    // Whoever names the message as its own attachment does not lose the message.
    const mistaken = { ...of, attachment: message };
    expect((await privacy.forgetAttachment(store.app.id, mistaken)).status).toBe('refused');
  });
});

/** Two external ids whose messages hang on one leaf of the tree of a conversation. */
async function findColliding(store: TestStore, group: ConversationId): Promise<[string, string]> {
  const ref = await placeRingOf(store, group);
  return store.backends.reader().keyring.use([ref], async ([ring]) => {
    const hmac = (ring as Ring).idHmac();
    const seen = new Map<number, number>();
    for (let n = 0; ; n += 1) {
      const id = messageIdOf(hmac, { source: '/channels/chat/main', externalId: `n-${n}` });
      const leaf = Buffer.from(thingPath(id)).readUIntBE(0, 5);
      const before = seen.get(leaf);
      if (before !== undefined) return [`n-${before}`, `n-${n}`];
      seen.set(leaf, n);
    }
  });
}

describe('many people', () => {
  it('are erased together, and share the wait for T0', async () => {
    const store = await openTestStore();
    const names = Array.from({ length: 30 }, (_, i) => `person-${i}`);
    await store.deliver(...names.map((name) => received(name, 'words', { id: name })));
    const subjects = [];
    for (const name of names) subjects.push(await subjectOf(store, name));
    const privacy = createPrivacy(store.backends.privacy());
    const outcomes = await privacy.eraseSubjects(store.app.id, subjects.slice(0, 29));
    expect(new Set(outcomes.map((one) => one.status))).toEqual(new Set(['done']));
    await store.project();
    const texts = await textsOf(store, await groupOf(store));
    expect(texts.filter((text) => text !== null)).toEqual(['words']);
    const again = await privacy.eraseSubjects(store.app.id, subjects.slice(28));
    expect(again.map((one) => one.status)).toEqual(['erased', 'done']);
  });
});
