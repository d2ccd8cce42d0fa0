import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import { readPeople } from '../../libs/people/people.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { edited, PERSONAL, profile, received, removed } from '../support/events.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  subjectOf,
  textsOf,
} from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

const hashed = ({ externalId }: { externalId: string }) =>
  `sha256:${createHash('sha256').update(externalId).digest('hex')}`;

describe('what is taken in', () => {
  it('an item that has nothing to write is accepted and harms nothing beside it', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'x'));
    const subject = await subjectOf(store, 'ann');
    const identity = { channel: 'chat', externalId: 'ann' };
    const read = readCloudEvent(received('ben', 'y'), Date.now());
    if ('problem' in read) throw new Error('the event is valid');
    const outcomes = await store.ingest.accept(store.app.id, [
      { kind: 'identity', subject, identity },
      { kind: 'delivery', delivery: read.value },
    ]);
    expect(outcomes.map((one) => one.status)).toEqual(['accepted', 'accepted']);
  });

  it('an unsend in a default conversation works from a cold process', async () => {
    let store = await openTestStore();
    await store.deliver(received('ann', 'oops', { id: 'a', conversation: PERSONAL }));
    const id = await defaultConversationOf(store, 'ann');
    store = await store.reopen();
    const removal = removed('a', { conversation: PERSONAL }) as { data: object };
    const author = { type: 'user', identity: { channel: 'chat', externalId: 'ann' } };
    const [outcome] = await store.deliver({ ...removal, data: { ...removal.data, author } });
    expect(outcome!.status).toBe('accepted');
    await runOpenRequests(store.backends.privacy());
    expect(await textsOf(store, id)).toEqual([null]);
  });

  it('an unknown type of content is refused, unless it says that it is to be kept as it is', async () => {
    const read = (content: object) => {
      const { data, ...rest } = received('ann', 'x') as { data: object };
      return readCloudEvent({ ...rest, data: { ...data, content } }, Date.now());
    };
    for (const more of [{}, { opaque: false }, { opaque: 'true' }]) {
      expect(read({ type: 'pol', ...more })).toEqual({
        problem: {
          pointer: '/data/content/type',
          expected: expect.stringContaining('text, image'),
        },
      });
    }
    expect(read({ type: 'pol', opaque: true })).toHaveProperty('value');
  });

  it('mail with a very long id and a very long name is taken in, and its id is known again', async () => {
    const store = await openTestStore();
    const id = `<${'x'.repeat(2_000)}@example.org>`;
    const conversation = { type: 'sdkGroup', externalId: `${'thread '.repeat(100)}1` };
    const displayName = `${'a'.repeat(254)}😀${'b'.repeat(100)}`;
    const mail = received('ann', 'mail', { id, conversation, displayName });
    const quoting = received('ben', 'answer', { id: `${id}2`, quoted: id, conversation });
    expect((await store.deliver(mail, quoting)).map(({ status }) => status)).toEqual([
      'accepted',
      'accepted',
    ]);
    expect(await store.accept(mail)).toMatchObject([{ status: 'duplicate' }]);
    await store.deliver(edited('ann', id, 'edited', { conversation }));
    const other = { ...conversation, externalId: `${'thread '.repeat(100)}2` };
    await store.deliver(received('ann', 'elsewhere', { id: `${id}3`, conversation: other }));
    const [message, answer] = await messagesOf(store, await groupOf(store, hashed(conversation)));
    expect(message!.content!.text).toBe('edited');
    expect(answer!.quotedMessage).toMatchObject({ message: { id: message!.id } });
    expect(message!.author!.displayName).toBe(`${'a'.repeat(254)}…`);
  });

  it('an unknown type of content is shown, but its name is not in any header', async () => {
    const store = await openTestStore();
    const base = received('ann', 'x') as { data: object };
    const content = { type: '+49 170 555', opaque: true, payload: 1 };
    await store.deliver({ ...base, data: { ...base.data, content } });
    const group = await groupOf(store);
    expect((await messagesOf(store, group))[0]!.content).toEqual(content);
    const { searchFiles, filesBelow } = await import('../../services/operations/disk-search.ts');
    expect(searchFiles(filesBelow(store.folder), ['+49 170 555'])).toEqual([]);
  });

  it('a message of somebody whose erasure is under way begins anew, and is not lost', async () => {
    const store = await openTestStore();
    const conversation = { type: 'personal', externalId: 'ticket-7' };
    await store.deliver(received('ann', 'before', { id: 'a', conversation }));
    const powers = store.backends.privacy();
    // Her identities are gone, her conversations are not: somebody new has her name.
    const removeConversation = () => Promise.reject(new Error('killed'));
    const directoryShred = { ...powers.directoryShred, removeConversation };
    const dying = createPrivacy({ ...powers, directoryShred });
    const erasing = dying.eraseSubject(store.app.id, await subjectOf(store, 'ann'));
    await expect(erasing).rejects.toThrow('killed');
    const after = received('ann', 'after', { id: 'b', conversation });
    expect((await store.accept(after))[0]!.status).toBe('accepted');
    await runOpenRequests(powers);
    await store.project();
    const hers = await groupOf(store, 'ticket-7', { of: 'ann' });
    expect(await textsOf(store, hers)).toEqual(['after']);
  });

  it('a time that lies ahead wins over nothing that is said later', async () => {
    let nowMs = Date.parse('2026-01-01T12:00:00Z');
    const store = await openTestStore({ clock: { nowMs: () => nowMs } });
    const at = (minutes: number) => new Date(nowMs + minutes * 60_000).toISOString();
    await store.deliver(
      received('ann', 'first', { id: 'a', time: at(0) }),
      edited('ann', 'a', 'from ahead', { id: 'e-1', time: at(5) }),
      received('ann', 'also from ahead', { id: 'b', time: at(4) }),
      profile('ann', { surname: 'Ahead' }, { id: 'p-1', time: at(5) }),
    );
    nowMs += 60_000;
    await store.deliver(
      edited('ann', 'a', 'said later', { id: 'e-2', time: at(0) }),
      received('ann', 'last', { id: 'c', time: at(0) }),
      profile('ann', { surname: 'Later' }, { id: 'p-2', time: at(0) }),
    );
    expect(await textsOf(store, await groupOf(store))).toEqual([
      'said later',
      'also from ahead',
      'last',
    ]);
    const subject = await subjectOf(store, 'ann');
    const people = await readPeople(store.backends.reader(), store.app.id, [subject]);
    expect(people.get(subject)!.profile.fields.surname).toBe('Later');
  });

  it('more than can wait is told to come again, and what waits is answered', async () => {
    const store = await openTestStore();
    const of = { subject: store.app.id as never, readFrom: null, profile: null, metadata: null };
    const many = new Array(40_000).fill({ kind: 'profile' as const, ...of });
    const first = store.ingest.accept(store.app.id, many);
    const second = store.ingest.accept(store.app.id, many);
    await expect(second).rejects.toMatchObject({ code: 'OVERLOADED', retryable: true });
    expect((await first).length).toBe(40_000);
  });

  it('people who were known for long are still known beside very many new ones', async () => {
    const store = await openTestStore();
    const write = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) =>
        received(`person-${from + i}`, 'words', { id: `m-${from + i}-${from}` }),
      );
    await store.deliver(received('first', 'hello', { id: 'first-1' }));
    for (let from = 0; from < 9_995; from += 1_999) await store.deliver(...write(from, 1_999));
    const outcomes = await store.deliver(
      ...write(20_000, 900),
      received('first', 'again', { id: 'first-2' }),
      ...write(30_000, 900),
    );
    expect(new Set(outcomes.map((one) => one.status))).toEqual(new Set(['accepted']));
  }, 120_000);
});
