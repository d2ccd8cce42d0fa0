import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { textToDay } from '../../libs/base/day.ts';
import type { ConversationId, MessageId } from '../../libs/base/ids.ts';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { rebuildViews } from '../../libs/projection/project.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, reacted, received } from '../support/events.ts';
import { copyFiles, countOpening, openCopy, undoFences } from '../support/old-copies.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  recordsOf,
  subjectOf,
  textsOf,
} from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

const YEAR = { fromDay: textToDay('2024-01-01'), toDay: textToDay('2024-12-31') };
const ROUNDS = 8;
const in2024 = { time: '2024-06-01T12:00:00.000Z' };

const privacyOf = (store: TestStore) => createPrivacy(store.backends.privacy());

/** Two people who wrote in 2024 and later. */
async function openCase(): Promise<TestStore> {
  const store = await openTestStore();
  await store.deliver(
    received('ann', 'ann 2024', { id: 'a1', ...in2024 }),
    received('ben', 'ben 2024', { id: 'b1', ...in2024 }),
    received('ann', 'ann 2025', { id: 'a2' }),
    received('ben', 'ben 2025', { id: 'b2' }),
    received('ann', 'ann alone', { id: 'a3', conversation: PERSONAL }),
    // Somebody stays: or the group would end with the last of the two.
    received('cem', 'cem', { id: 'c1' }),
  );
  return store;
}

async function holdOn(store: TestStore, name: string) {
  const outcome = await privacyOf(store).hold(store.app.id, await subjectOf(store, name));
  if (outcome.status !== 'held') throw new Error(outcome.status);
  return outcome.hold;
}

const groupTexts = async (store: TestStore) =>
  (await textsOf(store, await groupOf(store))).filter((text) => text !== 'cem');

/** Another process over the same store. */
const otherOf = (store: TestStore) => openAt(store.folder, {}, store.app.id);

async function eventsOf(store: TestStore, owner: string) {
  const events = [];
  for await (const { key, value } of recordsOf(store)) {
    const event = decodeRecord(key, value);
    if (event.header.owner === owner && event.header.type === 'MessagePosted') events.push(event);
  }
  return events;
}

describe('a legal hold', () => {
  it('refuses every way of taking what is the held person’s, until it ends (promise: erasure-exceptions)', async () => {
    const store = await openCase();
    const privacy = privacyOf(store);
    const { id } = store.app;
    const ann = await subjectOf(store, 'ann');
    const group = await groupOf(store);
    const hold = await holdOn(store, 'ann');
    const [first] = await messagesOf(store, group);
    const asked = [
      await privacy.eraseSubject(id, ann),
      await privacy.clearProfile(id, ann),
      await privacy.forgetMessage(id, group, first!.id as MessageId),
      await privacy.clearConversation(id, group),
      await privacy.deleteConversation(id, group),
      await privacy.clearConversation(id, await defaultConversationOf(store, 'ann')),
      await privacy.forgetDays(id, { ...YEAR, subject: ann }),
      await privacy.eraseApp(id),
    ];
    expect(asked.map((one) => one.status)).toEqual(asked.map(() => 'refused'));
    const { requests, erasures } = store.backends.privacy();
    expect(await requests.open(10)).toEqual([]);
    const refusals = asked.map(() => 'withdrawn');
    expect((await erasures.read()).map((one) => one.kind)).toEqual(['hold', ...refusals]);
    expect(await groupTexts(store)).not.toContain(null);
    // Who is not held is forgotten and erased as ever.
    expect((await privacy.eraseSubject(id, await subjectOf(store, 'ben'))).status).toBe('done');
    await privacy.release(id, ann, hold);
    expect((await privacy.eraseSubject(id, ann)).status).toBe('done');
    await store.project();
    expect(await groupTexts(store)).toEqual([null, null, null, null]);
    expect(await store.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  });

  it('keeps a message to which the held person only reacted', async () => {
    const store = await openCase();
    await store.deliver(reacted('ann', 'b2', '👍', { id: 'r' }));
    await holdOn(store, 'ann');
    const group = await groupOf(store);
    const reactedTo = (await messagesOf(store, group)).find(
      (one) => one.content?.text === 'ben 2025',
    );
    const outcome = await privacyOf(store).forgetMessage(
      store.app.id,
      group,
      reactedTo!.id as MessageId,
    );
    expect(outcome.status).toBe('refused');
  });

  it('S23 keeps the held one’s days readable when the app cuts a year, and opens nobody else’s', async () => {
    const store = await openCase();
    const { id } = store.app;
    const ben = await subjectOf(store, 'ben');
    const benEvents = await eventsOf(store, ben);
    const hold = await holdOn(store, 'ann');
    await privacyOf(store).forgetDays(id, YEAR);
    await store.project();
    const expected = ['ann 2024', null, 'ann 2025', 'ben 2025'];
    expect(await groupTexts(store)).toEqual(expected);
    const cold = await otherOf(store);
    expect(await groupTexts(cold)).toEqual(expected);
    await rebuildViews(
      store.backends.projector(),
      store.backends.reader().keyring,
      () => undefined,
    );
    expect(await groupTexts(store)).toEqual(expected);
    // Nothing new can be sealed for a day that is gone, of the held one either.
    const [late] = await store.deliver(received('ann', 'late', { id: 'late', ...in2024 }));
    expect(late!.status).toBe('erased');
    expect(await countOpening(cold.backends, benEvents)).toBe(1);
    // The turn keeps what the hold needs, and the doctor finds nothing amiss.
    await store.backends.epoch().turn({ nowMs: () => Date.now() });
    expect(await groupTexts(await otherOf(store))).toEqual(expected);
    expect(await store.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
    // The hold ends: the days are gone for the held one too, with an old row put back as well.
    const before = copyFiles(store, 'with-hold');
    await privacyOf(store).release(id, await subjectOf(store, 'ann'), hold);
    expect(await groupTexts(store)).toEqual([null, null, 'ann 2025', 'ben 2025']);
    const annEvents = await eventsOf(store, await subjectOf(store, 'ann'));
    await store.backends.epoch().turn({ nowMs: () => Date.now() + 60_000 });
    const undone = undoFences(store, [before, copyFiles(store, 'after')], 'undone');
    const attacked = await openCopy(store, undone);
    expect(await countOpening(attacked, annEvents)).toBe(2);
    await attacked.close();
  });

  it('S23 of one person does not keep everybody’s expired days readable, before and after the hold', async () => {
    const store = await openCase();
    const { id } = store.app;
    const privacy = privacyOf(store);
    const early = { fromDay: textToDay('2023-01-01'), toDay: textToDay('2024-03-01') };
    await privacy.forgetDays(id, early);
    await holdOn(store, 'ann');
    await holdOn(store, 'ann');
    await privacy.forgetDays(id, YEAR);
    await privacy.forgetDays(id, { ...YEAR, toDay: textToDay('2025-12-31') });
    await store.project();
    // The other one of 2025 is gone too.
    expect(await groupTexts(store)).toEqual(['ann 2024', null, 'ann 2025', null, null]);
  });

  it('S24 and an erase of the same moment, from two processes: one of them wins wholly', async () => {
    const won = { hold: 0, erase: 0 };
    for (let round = 0; round < ROUNDS; round += 1) {
      const store = await openCase();
      const other = await otherOf(store);
      const ann = await subjectOf(store, 'ann');
      // One begins a little earlier, then the other: so that each order is met.
      const headStartMs = (round - ROUNDS / 2) * 2;
      const [held, erased] = await Promise.all([
        sleep(Math.max(0, headStartMs)).then(() => privacyOf(store).hold(store.app.id, ann)),
        sleep(Math.max(0, -headStartMs)).then(() => {
          return privacyOf(other).eraseSubject(store.app.id, ann);
        }),
      ]);
      await store.project();
      const texts = await groupTexts(store);
      if (erased.status === 'done') {
        expect(held.status).toBe('erased');
        expect(texts).toEqual([null, 'ben 2024', null, 'ben 2025']);
        won.erase += 1;
      } else {
        expect([held.status, erased.status]).toEqual(['held', 'refused']);
        expect(texts).not.toContain(null);
        expect(await textsOf(store, await defaultConversationOf(store, 'ann'))).toEqual([
          'ann alone',
        ]);
        won.hold += 1;
      }
      await store.backends.close();
      await other.backends.close();
    }
    expect(Math.min(won.hold, won.erase)).toBeGreaterThan(0);
  }, 120_000);

  it('S24 S46 and a cut, clear or forget of that moment: they had finished, or they saw the hold', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const store = await openCase();
      const other = await otherOf(store);
      const { id } = store.app;
      const ann = await subjectOf(store, 'ann');
      const alone = await defaultConversationOf(store, 'ann');
      const group = await groupOf(store);
      const [first] = await messagesOf(store, group);
      const privacy = privacyOf(other);
      const running = [
        () => privacy.forgetDays(id, YEAR),
        () => privacy.clearConversation(id, alone as ConversationId),
        () => privacy.forgetMessage(id, group, first!.id as MessageId),
      ][round % 3]!;
      let granted: string[] = [];
      const [held, outcome] = await Promise.all([
        privacyOf(store)
          .hold(id, ann)
          .then(async (hold) => {
            // What is readable when the hold is granted stays readable.
            await store.project();
            granted = [...(await groupTexts(store)), ...(await textsOf(store, alone))].filter(
              (text) => text?.startsWith('ann') === true,
            ) as string[];
            return hold;
          }),
        running(),
      ]);
      expect(held.status).toBe('held');
      await store.project();
      const after = [...(await groupTexts(store)), ...(await textsOf(store, alone))];
      for (const text of granted) expect(after, `round ${round}`).toContain(text);
      if (outcome.status === 'refused') expect(granted.length).toBe(3);
      await store.backends.close();
      await other.backends.close();
    }
  }, 120_000);
});

describe('a merge', () => {
  it('S25 into somebody who is then erased takes the words of both, seen by the projector or not', async () => {
    const store = await openCase();
    const { id } = store.app;
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    const events = [...(await eventsOf(store, ann)), ...(await eventsOf(store, ben))];
    expect(await privacyOf(store).merge(id, ann, ben)).toBe('merged');
    expect((await privacyOf(store).eraseSubject(id, ben)).status).toBe('done');
    await store.project();
    expect(await groupTexts(store)).toEqual([null, null, null, null]);
    expect(await countOpening((await otherOf(store)).backends, events)).toBe(0);
    for (const name of ['ann', 'ben'])
      await expect(subjectOf(store, name)).rejects.toThrow('nobody');
    expect(await store.backends.reader().directory.subjects(id, [ann, ben])).toEqual([
      undefined,
      undefined,
    ]);
  });

  it('shares the hold of either, and ends with what the last hold kept', async () => {
    const store = await openCase();
    const { id } = store.app;
    const privacy = privacyOf(store);
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    const hold = await holdOn(store, 'ann');
    await privacy.merge(id, ann, ben);
    expect((await privacy.eraseSubject(id, ben)).status).toBe('refused');
    await privacy.forgetDays(id, YEAR);
    expect(await groupTexts(store)).toEqual(['ann 2024', 'ben 2024', 'ann 2025', 'ben 2025']);
    await privacy.release(id, ann, hold);
    expect(await groupTexts(store)).toEqual([null, null, 'ann 2025', 'ben 2025']);
    expect((await privacy.eraseSubject(id, ben)).status).toBe('done');
  });

  it('S24 and an erase of the same moment, from two processes: nobody is left half erased', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const store = await openCase();
      const other = await otherOf(store);
      const { id } = store.app;
      const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
      const erasedOne = round % 2 === 0 ? ben : ann;
      const [merged, erased] = await Promise.all([
        privacyOf(store).merge(id, ann, ben),
        privacyOf(other).eraseSubject(id, erasedOne),
      ]);
      expect(erased.status).toBe('done');
      await store.project();
      const texts = await groupTexts(store);
      const left = texts.filter((text) => text !== null).map((text) => text.slice(0, 3));
      // Ann goes in every order, and Ben with her once they are one; before that, he lives wholly.
      const whole = erasedOne === ann ? [[], ['ben', 'ben']] : [[]];
      expect(whole, `round ${round}: ${merged}`).toContainEqual(left);
      expect(await store.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
      await store.backends.close();
      await other.backends.close();
    }
  }, 120_000);
});
