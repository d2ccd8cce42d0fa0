import { describe, expect, it } from 'vitest';
import type { LossId, MessageId, RequestId } from '../../libs/base/ids.ts';
import { decodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { readList } from '../../services/reader/list-page.ts';
import { readParticipants, readUser } from '../../services/reader/read-conversations.ts';
import {
  edited,
  GROUP,
  joined,
  PERSONAL,
  profile,
  reacted,
  receipt,
  received,
  removed,
  sent,
} from '../support/events.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  subjectOf,
  textsOf,
} from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

const statuses = (outcomes: readonly { status: string }[]) => outcomes.map((one) => one.status);

async function erase(store: TestStore, name: string): Promise<void> {
  const privacy = createPrivacy(store.backends.privacy());
  const outcome = await privacy.eraseSubject(store.app.id, await subjectOf(store, name));
  expect(outcome.status).toBe('done');
  await store.project();
}

describe('scenarios that broke earlier drafts', () => {
  it('S16 two edits, two readers’ receipts and a second reaction are all distinct events', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'first', { id: 'a' }));
    const outcomes = await store.deliver(
      edited('ann', 'a', 'second', { id: 'a-edit-1', time: '2025-03-01T12:01:00Z' }),
      edited('ann', 'a', 'third', { id: 'a-edit-2', time: '2025-03-01T12:02:00Z' }),
      receipt('ben', 'a', 'read', { id: 'a-read' }),
      receipt('cem', 'a', 'read', { id: 'a-read' }),
      reacted('ben', 'a', '👍', { id: 'a-react-1', time: '2025-03-01T12:03:00Z' }),
      reacted('ben', 'a', '🎉', { id: 'a-react-2', time: '2025-03-01T12:04:00Z' }),
      received('ann', 'in chat one', { id: 'chat-1:5' }),
      received('ann', 'in chat two', {
        id: 'chat-2:5',
        conversation: { ...GROUP, externalId: 'room-2' },
      }),
    );
    expect(statuses(outcomes)).toEqual(new Array(8).fill('accepted'));
    const [message] = await messagesOf(store, await groupOf(store));
    expect(message!.content!.text).toBe('third');
    expect(message!.receipts!.length).toBe(2);
    expect(message!.reactions!.map((one) => one.reaction)).toEqual(['👍', '🎉']);
  });

  it('S16 each reaction of a person is taken back by itself, or all, or is put in their place', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'first', { id: 'a' }), reacted('cem', 'a', '👍'));
    const group = await groupOf(store);
    const shown = async (...events: object[]) => {
      expect(statuses(await store.deliver(...events))).toEqual(events.map(() => 'accepted'));
      const [message] = await messagesOf(store, group);
      return message!.reactions!.map((one) => one.reaction);
    };
    const more = [reacted('ben', 'a', '👍'), reacted('ben', 'a', '🎉'), reacted('ben', 'a', '😀')];
    expect(await shown(...more)).toEqual(['👍', '👍', '🎉', '😀']);
    expect(await shown(reacted('ben', 'a', '👍'))).toEqual(['👍', '🎉', '😀', '👍']);
    const one = { action: 'remove' };
    expect(await shown(reacted('ben', 'a', '🎉', one))).toEqual(['👍', '😀', '👍']);
    expect(await shown(reacted('ben', 'a', '🤷', one))).toEqual(['👍', '😀', '👍']);
    expect(await shown(reacted('ben', 'a', '❤️', { action: 'replace' }))).toEqual(['👍', '❤️']);
    expect(await shown(reacted('ben', 'a', ''))).toEqual(['👍']);
    // As channels say it that know one reaction a person.
    for (const action of ['replace', 'remove']) {
      expect(await shown(reacted('ben', 'a', '❤️'))).toEqual(['👍', '❤️']);
      expect(await shown(reacted('ben', 'a', '', { action }))).toEqual(['👍']);
    }
    expect(await shown(reacted('cem', 'a', '👍', one), reacted('cem', 'a', '🎉'))).toEqual(['🎉']);
    await store.deliver(reacted('cem', 'a', '🎉', { action: 'remove', id: 'r' }));
    const [taken] = await store.accept(reacted('cem', 'a', '🎉', { id: 'r' }));
    expect(taken).toMatchObject({ status: 'rejected', error: { code: 'id_taken' } });
  });

  it('S17 a late edit of a forgotten message, by another author, is not readable either', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'secret', { id: 'a' }), received('ben', 'other'));
    const group = await groupOf(store);
    const [message] = await messagesOf(store, group);
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.forgetMessage(store.app.id, group, message!.id as MessageId);
    const [late] = await store.deliver(edited('ben', 'a', 'the secret was …', { id: 'late' }));
    expect(late!.status).toBe('erased');
    expect(await textsOf(store, group)).toEqual([null, 'other']);
  });

  it('S18 what is redelivered of an erased person brings nothing back (promise: erase-user)', async () => {
    const store = await openTestStore();
    const old = received('ann', 'my words', { id: 'a', displayName: 'Ann' });
    await store.deliver(old, received('ben', 'his words'));
    const ann = await subjectOf(store, 'ann');
    await erase(store, 'ann');
    for (let day = 0; day < 7; day += 1) {
      expect(statuses(await store.deliver(old))).toEqual(['erased']);
      // The same delivery with another time is the same delivery.
      const again = { ...old, time: '2025-04-01T00:00:00Z' };
      expect(statuses(await store.deliver(again))).toEqual(['erased']);
    }
    expect(await textsOf(store, await groupOf(store))).toEqual([null, 'his words']);
    await expect(subjectOf(store, 'ann')).rejects.toThrow('nobody');
    const { directory } = store.backends.reader();
    expect(await directory.subjects(store.app.id, [ann])).toEqual([undefined]);
  });

  it('S19 an erased person who writes again is somebody new, with nothing of the old', async () => {
    const store = await openTestStore();
    await store.deliver(joined('ben'), received('ann', 'before', { id: 'a', displayName: 'Ann' }));
    const before = await subjectOf(store, 'ann');
    await erase(store, 'ann');
    await store.deliver(received('ann', 'after', { id: 'b', displayName: 'Ann B' }));
    const after = await subjectOf(store, 'ann');
    expect(after).not.toBe(before);
    const user = await readUser(store.backends.reader(), store.app.id, after);
    expect(JSON.stringify(user)).toContain('Ann B');
    expect(await textsOf(store, await groupOf(store))).toEqual([null, 'after']);
  });

  it('S20 after all messages of a default conversation are deleted, a new one is readable', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'old', { conversation: PERSONAL }), sent('ann', 'answer'));
    const id = await defaultConversationOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).clearConversation(store.app.id, id);
    const [outcome] = await store.deliver(received('ann', 'new', { conversation: PERSONAL }));
    expect(outcome!.status).toBe('accepted');
    expect(await defaultConversationOf(store, 'ann')).toBe(id);
    expect((await textsOf(store, id)).sort()).toEqual(['new', null, null].sort());
  });

  it('S21 clearing a group changes one ring, and takes what was appended but not yet projected', async () => {
    const store = await openTestStore();
    const many = Array.from({ length: 130 }, (_, i) => received(`author-${i}`, `text ${i}`));
    await store.deliver(...many);
    const group = await groupOf(store);
    const item = received('newcomer', 'just in time');
    const { readCloudEvent } = await import('../../libs/conversation/cloud-event.ts');
    const read = readCloudEvent(item, Date.now());
    if ('problem' in read) throw new Error('the event is valid');
    await store.ingest.accept(store.app.id, [{ kind: 'delivery', delivery: read.value }]);
    const rowsBefore = await ringVersions(store);
    await createPrivacy(store.backends.privacy()).clearConversation(store.app.id, group);
    const rowsAfter = await ringVersions(store);
    const changed = [...rowsBefore].filter(([id, version]) => rowsAfter.get(id) !== version);
    expect(changed.length).toBe(1);
    await store.project();
    const texts = await textsOf(store, group);
    expect(texts.length).toBe(131);
    expect(texts.every((text) => text === null)).toBe(true);
  });

  it('S28 of two copies of an event the higher attempt counts, in either order, in one position', async () => {
    const results: unknown[] = [];
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      const store = await openTestStore();
      await store.deliver(
        received('ann', 'first'),
        received('ann', 'second', { id: 'b' }),
        received('ann', 'third'),
      );
      const group = await groupOf(store);
      const events = await allRecords(store);
      const original = events.find(({ event }) => event.header.type === 'MessagePosted')!;
      const copies = await reseal(store, original.event.header.eventId);
      const { eventToViewChanges } = await import('../../libs/conversation/view-changes.ts');
      const { views } = store.backends.projector();
      const changes = order.flatMap((i) => {
        const record = copies[i!]!;
        return eventToViewChanges(decodeSealedEvent(record), record, i!);
      });
      await views.apply(await views.generation(), changes);
      const page = await store.backends.reader().views.messages(group, { limit: 10 });
      const shown = page.map((one) => decodeSealedEvent(one.record).header.attempt);
      expect(shown).toEqual([7, 1, 1]);
      results.push(shown);
    }
    expect(results[0]).toEqual(results[1]);
  });

  it('S29 messages within one minute keep the order of the file through crash, re-run and rebuild', async () => {
    let store = await openTestStore();
    const lines = Array.from({ length: 50 }, (_, i) =>
      received(i % 2 ? 'ann' : 'ben', `line ${i}`, { id: `line-${i}` }),
    );
    await store.deliver(...lines.slice(0, 30));
    store = await store.reopen();
    const outcomes = await store.deliver(...lines);
    expect(statuses(outcomes).filter((one) => one === 'duplicate').length).toBe(30);
    const group = await groupOf(store);
    const expected = lines.map((_, i) => `line ${i}`);
    expect(await textsOf(store, group)).toEqual(expected);
    const { rebuildViews } = await import('../../libs/projection/project.ts');
    await rebuildViews(
      store.backends.projector(),
      store.backends.reader().keyring,
      () => undefined,
    );
    expect(await textsOf(store, group)).toEqual(expected);
  });

  it('S37 a display name that a channel sends with each message is nowhere in the conversation', async () => {
    const store = await openTestStore();
    const name = 'Annabel Cloudberry';
    await store.deliver(
      received('ann', 'one', { displayName: name }),
      received('ann', 'two', { displayName: name }),
    );
    const group = await groupOf(store);
    expect((await messagesOf(store, group))[0]!.author!.displayName).toBe(name);
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).clearProfile(store.app.id, ann);
    const shown = JSON.stringify(await messagesOf(store, group));
    expect(shown).not.toContain(name);
    expect(await textsOf(store, group)).toEqual(['one', 'two']);
    const events = await allEvents(store);
    const named = events.filter((event) => event.header.type === 'ProfileUpdated');
    expect(named.length).toBe(1);
  });

  it('S40 S54 a personal conversation’s name leads everybody to their own, never to another’s', async () => {
    const store = await openTestStore();
    const named = { type: 'personal', externalId: 'chat-1' };
    await store.deliver(
      received('mallory', 'first to use the name', { conversation: named }),
      received('ann', 'mine', { conversation: named }),
      received('mallory', 'hello', { conversation: { type: 'sdkGroup', externalId: 'chat-1' } }),
    );
    const hers = await groupOf(store, 'chat-1', { of: 'ann' });
    expect(await textsOf(store, hers)).toEqual(['mine']);
    const others = await groupOf(store, 'chat-1', { of: 'mallory' });
    expect(await textsOf(store, others)).toEqual(['first to use the name']);
    expect(await textsOf(store, await groupOf(store, 'chat-1'))).toEqual(['hello']);
  });

  it('S43 a webhook of someone erased on day 29 is refused on day 45', async () => {
    const day = 86_400_000;
    let nowMs = Date.parse('2026-01-01T00:00:00Z');
    const store = await openTestStore({ clock: { nowMs: () => nowMs } });
    const old = received('ann', 'words', { id: 'a' });
    await store.deliver(old, received('ben', 'his', { id: 'b' }));
    nowMs += 29 * day;
    await erase(store, 'ann');
    nowMs += 3 * day;
    await store.ingest.sweep();
    nowMs += 13 * day;
    await store.ingest.sweep();
    expect(statuses(await store.deliver(old))).toEqual(['erased']);
    // Day 45: what was not erased is forgotten by the ledger, as promised, and not doubled.
    await store.deliver(received('ben', 'his', { id: 'b' }));
    expect(await textsOf(store, await groupOf(store))).toEqual([null, 'his']);
    nowMs += 60 * day;
    expect(await store.ingest.sweep()).toBeGreaterThan(0);
  });

  it('S44 a moderator’s edit, a receipt and a reaction give an erased person’s words no new owner', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'her words', { id: 'a' }), joined('mod'));
    await store.deliver(
      edited('Moderator', 'a', 'her words, moderated', { id: 'edit', by: 'business' }),
      reacted('mod', 'a', '👀', { id: 'react' }),
      receipt('mod', 'a', 'read', { id: 'read' }),
    );
    const ann = await subjectOf(store, 'ann');
    const edit = (await allEvents(store)).find((one) => one.header.type === 'MessageEdited')!;
    expect(edit.header.owner).toBe(ann);
    await erase(store, 'ann');
    const after = await store.deliver(
      edited('Moderator', 'a', 'her words again', { id: 'edit-2', by: 'business' }),
      reacted('mod', 'a', '🔁', { id: 'react-2' }),
      receipt('mod', 'a', 'delivered', { id: 'read-2' }),
    );
    expect(statuses(after)).toEqual(['erased', 'erased', 'erased']);
    expect(await textsOf(store, await groupOf(store))).toEqual([null]);
  });

  it('S45 clearing keeps what it should: identities with a profile, people and names with a group', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'text', { displayName: 'Ann' }),
      profile('ann', { givenName: 'Ann', email: 'ann@example.org' }),
    );
    const reader = store.backends.reader();
    const ann = await subjectOf(store, 'ann');
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.clearProfile(store.app.id, ann);
    const user = await readUser(reader, store.app.id, ann);
    expect(user!.profile).toEqual({});
    expect(user!.identities).toEqual([{ type: 'chat', value: 'ann' }]);
    const group = await groupOf(store);
    await privacy.clearConversation(store.app.id, group);
    expect(await textsOf(store, group)).toEqual([null]);
    const there = await readParticipants(reader, store.app.id, group);
    expect((await Array.fromAsync(readList(there))).length).toBe(1);
    await store.deliver(received('ann', 'again', { displayName: 'Ann' }));
    expect((await messagesOf(store, group)).at(-1)!.author!.displayName).toBe('Ann');
  });

  it('S27 a message acknowledged while its person is erased is sealed anew and readable', async () => {
    const store = await openTestStore();
    await store.deliver(joined('ben'), received('ann', 'before', { id: 'a' }));
    // The person's ring goes right after the commit and before the acknowledgement.
    const powers = store.backends.ingest();
    const { openIngest } = await import('../../services/ingest/ingest.ts');
    const ann = await subjectOf(store, 'ann');
    let raced = false;
    const journal: typeof powers.journal = {
      async commit(app, items) {
        const outcomes = await powers.journal.commit(app, items);
        if (!raced) {
          raced = true;
          await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
        }
        return outcomes;
      },
    };
    const ingest = await openIngest({ ...powers, journal });
    const { readCloudEvent } = await import('../../libs/conversation/cloud-event.ts');
    const read = readCloudEvent(received('ann', 'meanwhile', { id: 'b' }), Date.now());
    if ('problem' in read) throw new Error('the event is valid');
    const item = { kind: 'delivery', delivery: read.value } as const;
    const [outcome] = await ingest.accept(store.app.id, [item]);
    expect(outcome!.status).toBe('accepted');
    await store.project();
    expect(await textsOf(store, await groupOf(store))).toEqual([null, 'meanwhile']);
    expect(await subjectOf(store, 'ann')).not.toBe(ann);
  });

  it('a channel’s removal is carried out by privacy and survives a repeat', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'oops', { id: 'a' }), received('ann', 'fine', { id: 'b' }));
    const removal = removed('a', { id: 'removal' });
    expect(statuses(await store.deliver(removal))).toEqual(['accepted']);
    expect(await runOpenRequests(store.backends.privacy())).toBe(1);
    expect(statuses(await store.deliver(removal))).toEqual(['duplicate']);
    expect(await textsOf(store, await groupOf(store))).toEqual([null, 'fine']);
  });

  it('an erase that stopped after any step is finished by running it again', async () => {
    for (const step of ['shred', 'finish', 'done']) {
      const store = await openTestStore();
      await store.deliver(received('ann', 'words', { conversation: PERSONAL }));
      const ann = await subjectOf(store, 'ann');
      const powers = store.backends.privacy();
      const { carryOut } = await import('../../services/privacy/life/carry-out.ts');
      const times = { receivedAtMs: 0, changedAtMs: 0 };
      const request = {
        id: '0123456789abcdef0123456789abcdef' as RequestId,
        loss: 'fedcba9876543210fedcba9876543210' as LossId,
        app: store.app.id,
        kind: 'erase-subject' as const,
        target: { subject: ann },
        step: 'received' as const,
        ...times,
      };
      await powers.requests.add(request);
      const requests = {
        ...powers.requests,
        record(...given: Parameters<typeof powers.requests.record>) {
          if (given[1] === step) return Promise.reject(new Error('the process ends here'));
          return powers.requests.record(...given);
        },
        finish(...given: Parameters<typeof powers.requests.finish>) {
          if (step === 'done') return Promise.reject(new Error('the process ends here'));
          return powers.requests.finish(...given);
        },
      };
      const [carried] = await carryOut({ ...powers, requests }, [request]).catch((failure) => [
        { failure },
      ]);
      expect(String((carried as { failure: unknown }).failure)).toContain('ends here');
      expect(await runOpenRequests(powers)).toBe(1);
      await expect(subjectOf(store, 'ann')).rejects.toThrow('nobody');
      const versions = await fences(store);
      expect(versions).toBeGreaterThanOrEqual(5);
    }
  });
});

async function allRecords(store: TestStore) {
  const { log } = store.backends.reader();
  const found = [];
  for (let partition = 0; partition < log.partitions; partition += 1) {
    for (const record of await log.read(partition, 0, 100_000)) {
      found.push({ record, event: decodeSealedEvent(record.value) });
    }
  }
  return found;
}

async function allEvents(store: TestStore) {
  return (await allRecords(store)).map(({ event }) => event);
}

/** Versions of all place and owner rings, by id. */
async function ringVersions(store: TestStore): Promise<Map<string, number>> {
  const versions = new Map<string, number>();
  for (const kind of [12, 13] as const) {
    for await (const row of store.backends.vaultStore().scan(kind)) {
      versions.set(row.id, row.version);
    }
  }
  return versions;
}

async function fences(store: TestStore): Promise<number> {
  let count = 0;
  for (const kind of [12, 13] as const) {
    for await (const row of store.backends.vaultStore().scan(kind)) {
      if (row.state === 3) count += 1;
    }
  }
  return count;
}

/** Two copies of an event: attempt 3, and attempt 7 as the newer. */
async function reseal(store: TestStore, eventId: string): Promise<Buffer[]> {
  const { eventRingRefs, sealEvent, unsealEvent } = await import(
    '../../libs/keyring/event-sealer.ts'
  );
  const { Ring } = await import('../../libs/keyring/ring.ts');
  const event = (await allEvents(store)).find((one) => one.header.eventId === eventId)!;
  const { keyring, randomness } = store.backends.reader();
  return keyring.use(eventRingRefs(event.header), async ([app, owner, place]) => {
    if (!(app instanceof Ring && owner instanceof Ring && place instanceof Ring)) {
      throw new Error('its rings are there');
    }
    const rings = { app, owner, place };
    const content = unsealEvent(event, rings) as Buffer;
    return [3, 7].map((attempt) => {
      const sealed = sealEvent({ ...event.header, attempt }, content, { rings, randomness });
      if (sealed === 'forgotten') throw new Error('nothing was taken');
      return sealed.value;
    });
  });
}
