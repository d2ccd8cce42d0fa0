import { describe, expect, it } from 'vitest';
import type { MessageId } from '../../libs/base/ids.ts';
import { textToDay } from '../../libs/sealing/tree-path.ts';
import { previewLoss } from '../../services/privacy/preview.ts';
import { createPrivacy } from '../../services/privacy/privacy.ts';
import { edited, PERSONAL, reacted, received } from '../support/events.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
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

describe('days', () => {
  it('of one person are forgotten, and nothing else is; they stay so through a rebuild and a cold start', async () => {
    const store = await openDiaries();
    const ann = await subjectOf(store, 'ann');
    const privacy = createPrivacy(store.backends.privacy());
    const expected = ['ann 2024-12-31', 'ben 2024-12-31', null, 'ben 2025-01-01', null];
    const days = { ...YEAR, subject: ann };
    const preview = await previewLoss(store.backends.privacy(), store.app.id, {
      kind: 'days',
      ...days,
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
      kind: 'message',
      message: message!.id as MessageId,
    });
    expect(one).toMatchObject({
      events: { MessagePosted: 1, MessageEdited: 1, MessageReacted: 1 },
      messages: 1,
      neighbours: [],
    });
    const whole = await previewLoss(powers, id, { kind: 'conversation', conversation: group });
    expect(whole.messages).toBe(2);
    const subject = await subjectOf(store, 'ann');
    const person = await previewLoss(powers, id, { kind: 'subject', subject });
    expect(person).toMatchObject({ messages: 2, conversations: 2 });
    expect(await textsOf(store, group)).toEqual(['hers, again', 'his']);
    expect(await textsOf(store, await defaultConversationOf(store, 'ann'))).toEqual(['secret']);
  });
});

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
