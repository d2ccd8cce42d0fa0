import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { SubjectId } from '../../libs/base/ids.ts';
import { createPrivacy, type PrivacyOutcome } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, profile, received } from '../support/events.ts';
import { defaultConversationOf, subjectOf, textsOf } from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

// Two privacy services, or one that is asked twice, are asked for the same at the same time.

const AT_ONCE_MS = [0, 1, 3, 10, 30];

async function openTwo(): Promise<[TestStore, TestStore]> {
  const store = await openTestStore();
  for (const [i] of AT_ONCE_MS.entries()) {
    await store.deliver(
      received(`person-${i}`, 'hers', { id: `a-${i}`, conversation: PERSONAL }),
      profile(`person-${i}`, { givenName: 'Ann' }),
    );
  }
  return [store, await openAt(store.folder, {}, store.app.id)];
}

/** What a service that was killed still waits for. */
const dead = () => new Promise<never>(() => undefined);

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function erasureOf(outcome: PrivacyOutcome): string {
  if (outcome.status !== 'done') throw new Error(outcome.status);
  return outcome.erasure;
}

async function listedOf({ backends }: TestStore, kind: string) {
  return (await backends.privacy().erasures.read()).filter((one) => one.kind === kind);
}

describe('what is asked for twice at the same time', () => {
  it.each(['two services', 'one service'])(
    'is one request, with one entry and one certificate: %s',
    async (who) => {
      const [one, two] = await openTwo();
      const first = createPrivacy(one.backends.privacy());
      const second = who === 'one service' ? first : createPrivacy(two.backends.privacy());
      const app = one.app.id;
      for (const [i, waitMs] of AT_ONCE_MS.entries()) {
        const person = await subjectOf(one, `person-${i}`);
        const both = await Promise.all([
          first.eraseSubject(app, person),
          later(waitMs).then(() => second.eraseSubject(app, person)),
        ]);
        const done = both.filter(({ status }) => status === 'done');
        expect(both.map(({ status }) => status)).toContain('done');
        expect(new Set(done.map(erasureOf)).size).toBe(1);
        // One of them hands the salt out; whoever came later was told that it is done.
        const salts = done.flatMap((each) => {
          return ('certificate' in each && each.certificate?.salt) || [];
        });
        expect(salts.length).toBe(1);
      }
      expect((await listedOf(one, 'erase-subject')).length).toBe(AT_ONCE_MS.length);
      const folder = one.configuration.certificatesFolder;
      const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
      expect(files.length).toBe(AT_ONCE_MS.length);
      expect(await one.backends.privacy().requests.open(10)).toEqual([]);
      expect((await one.backends.privacy().requests.afterlives()).length).toBe(AT_ONCE_MS.length);
    },
  );

  it('by a service that was killed after it listed it is finished by the other, at once', async () => {
    const [one, two] = await openTwo();
    const app = one.app.id;
    const person = await subjectOf(one, 'person-0');
    const powers = one.backends.privacy();
    const keyringShred = { ...powers.keyringShred, shred: dead };
    void createPrivacy({ ...powers, keyringShred }).eraseSubject(app, person);
    await expect.poll(async () => (await listedOf(two, 'erase-subject')).length).toBe(1);
    const outcome = await createPrivacy(two.backends.privacy()).eraseSubject(app, person);
    const [listed] = await listedOf(two, 'erase-subject');
    expect(erasureOf(outcome)).toBe(listed!.id);
    expect((await listedOf(two, 'erase-subject')).length).toBe(1);
    expect('certificate' in outcome && outcome.certificate?.salt).toBeTypeOf('string');
  });

  it('by a service that was killed before it took anything is refused where a hold has come since', async () => {
    const [one, two] = await openTwo();
    const app = one.app.id;
    const conversation = await defaultConversationOf(one, 'person-0');
    const person = await subjectOf(one, 'person-0');
    const powers = one.backends.privacy();
    const requests = { ...powers.requests, record: dead };
    void createPrivacy({ ...powers, requests }).clearConversation(app, conversation);
    await expect.poll(async () => (await listedOf(two, 'clear-conversation')).length).toBe(1);
    const privacy = createPrivacy(two.backends.privacy());
    const holding = privacy.hold(app, person);
    const isHeld = async () => (await two.backends.privacy().keyringHold.areHeld(app, [person]))[0];
    await expect.poll(isHeld).toBe(true);
    expect((await privacy.clearConversation(app, conversation)).status).toBe('refused');
    await holding;
    expect(await textsOf(two, conversation)).toEqual(['hers']);
  });

  it('once each is another one: clearing a conversation a second time is not the first', async () => {
    const [one] = await openTwo();
    const privacy = createPrivacy(one.backends.privacy());
    const conversation = await defaultConversationOf(one, 'person-0');
    const ids = new Set<string>();
    for (let n = 0; n < 2; n += 1) {
      ids.add(erasureOf(await privacy.clearConversation(one.app.id, conversation)));
    }
    expect(ids.size).toBe(2);
  });

  it('of many people at once, each is taken once', async () => {
    const [one, two] = await openTwo();
    const app = one.app.id;
    const people: SubjectId[] = [];
    for (const [i] of AT_ONCE_MS.entries()) people.push(await subjectOf(one, `person-${i}`));
    const [a, b] = await Promise.all([
      createPrivacy(one.backends.privacy()).eraseSubjects(app, people),
      createPrivacy(two.backends.privacy()).eraseSubjects(app, people.toReversed()),
    ]);
    const statuses = new Set([...a!, ...b!].map(({ status }) => status));
    expect([...statuses].every((status) => status === 'done' || status === 'erased')).toBe(true);
    expect((await listedOf(one, 'erase-subject')).length).toBe(people.length);
  });
});
