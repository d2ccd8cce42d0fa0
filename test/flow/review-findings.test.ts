import { describe, expect, it } from 'vitest';
import type { LossId, SubjectId } from '../../libs/base/ids.ts';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { readUser } from '../../services/reader/read-conversations.ts';
import {
  edited,
  joined,
  PERSONAL,
  profile,
  reacted,
  receipt,
  received,
  removed,
} from '../support/events.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  subjectOf,
  textsOf,
} from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

const PROFILE = {
  displayName: null,
  givenName: null,
  surname: null,
  email: null,
  avatarUrl: null,
  locale: null,
};

describe('once broken, never again', () => {
  it('a request that always fails does not hold up the removals behind it', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'oops', { id: 'a' }));
    const powers = store.backends.privacy();
    const times = { receivedAtMs: 0, changedAtMs: 0 };
    const broken = { kind: 'of a newer version' as never, target: {} as never };
    await powers.requests.add({
      id: 'f'.repeat(32) as LossId,
      app: store.app.id,
      ...broken,
      step: 'received',
      ...times,
    });
    await store.deliver(removed('a'));
    await expect(runOpenRequests(powers)).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
    expect(await textsOf(store, await groupOf(store))).toEqual([null]);
    expect((await powers.requests.open(10, Date.now())).length).toBe(1);
  });

  it('a finished request stays finished, whatever a slower worker records', async () => {
    const store = await openTestStore();
    const { requests } = store.backends.privacy();
    const id = 'a'.repeat(32) as LossId;
    const times = { receivedAtMs: 0, changedAtMs: 0 };
    const kind = 'erase-subject' as const;
    const target = { subject: 'b'.repeat(32) as SubjectId };
    await requests.add({ id, app: store.app.id, kind, target, step: 'received', ...times });
    await requests.finish(id, { nowMs: 1, keepsTarget: false });
    await requests.record(id, 'shred', 2);
    expect(await requests.open(10, Date.now())).toEqual([]);
  });

  it('fields merged from a profile that was cleared meanwhile are not written', async () => {
    const store = await openTestStore();
    await store.deliver(profile('ann', { email: 'ann@example.org' }));
    const ann = await subjectOf(store, 'ann');
    const reader = store.backends.reader();
    const [entry] = await reader.directory.subjects(store.app.id, [ann]);
    const readFrom = entry!.value.profilePlace;
    await createPrivacy(store.backends.privacy()).clearProfile(store.app.id, ann);
    const merged = { ...PROFILE, email: 'ann@example.org' };
    const command = { kind: 'profile', subject: ann, readFrom, profile: merged, metadata: null };
    const [outcome] = await store.ingest.accept(store.app.id, [command as never]);
    expect(outcome).toMatchObject({ status: 'rejected', error: { code: 'profile_changed' } });
    await store.project();
    expect((await readUser(reader, store.app.id, ann))!.profile).toEqual({});
  });

  it('a profile written after a clear is read, even when the cleared one claims a later time', async () => {
    const store = await openTestStore();
    const later = new Date(Date.now() + 3_600_000).toISOString();
    await store.deliver(profile('ann', { givenName: 'Old' }, { time: later }));
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).clearProfile(store.app.id, ann);
    await store.deliver(profile('ann', { givenName: 'New' }));
    const user = await readUser(store.backends.reader(), store.app.id, ann);
    expect(user!.profile).toEqual({ givenName: 'New' });
  });

  it('nobody edits, reacts or reads in another person’s conversation', async () => {
    const store = await openTestStore();
    const conversation = { type: 'personal', externalId: 'ann-chat' };
    await store.deliver(received('ann', 'hers', { id: 'a', conversation }), received('ben', 'x'));
    const outcomes = await store.deliver(
      edited('ben', 'a', 'ben’s words', { conversation }),
      reacted('ben', 'a', '👎', { conversation }),
      receipt('ben', 'a', 'read', { conversation }),
    );
    expect(outcomes.map((one) => one.status)).toEqual(['rejected', 'rejected', 'rejected']);
    const [message] = await messagesOf(store, await groupOf(store, 'ann-chat'));
    expect(message!.content!.text).toBe('hers');
    expect(message!.reactions).toBeUndefined();
  });

  it('nobody’s words are put under another’s message in a group: who edits it is who wrote it', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: 'a' }), joined('ben'));
    const [outcome] = await store.deliver(edited('ben', 'a', 'ben’s words', { id: 'edit' }));
    expect(outcome).toMatchObject({ status: 'rejected', error: { code: 'not_the_author' } });
    expect(await textsOf(store, await groupOf(store))).toEqual(['hers']);
  });

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

  it('an unknown type of content is shown, but its name is not in any header', async () => {
    const store = await openTestStore();
    const base = received('ann', 'x') as { data: object };
    const content = { type: '+49 170 555', payload: 1 };
    await store.deliver({ ...base, data: { ...base.data, content } });
    const group = await groupOf(store);
    expect((await messagesOf(store, group))[0]!.content).toEqual(content);
    const { searchFiles, filesBelow } = await import('../../services/operations/disk-search.ts');
    expect(searchFiles(filesBelow(store.folder), ['+49 170 555'])).toEqual([]);
  });

  it('a display name that changes there and back within one batch ends as the last one', async () => {
    const store = await openTestStore();
    const named = (displayName: string) => received('ann', 'x', { displayName });
    await store.deliver(named('A'));
    await store.deliver(named('B'), named('A'));
    const user = await readUser(
      store.backends.reader(),
      store.app.id,
      await subjectOf(store, 'ann'),
    );
    expect(user!.profile).toEqual({ displayName: 'A' });
  });

  it('forgetting many messages does not push the clock ahead of time', async () => {
    const store = await openTestStore();
    await store.deliver(...Array.from({ length: 20 }, (_, i) => received('ann', `${i}`)));
    const group = await groupOf(store);
    const privacy = createPrivacy(store.backends.privacy());
    for (const message of await messagesOf(store, group)) {
      await privacy.forgetMessage(store.app.id, group, message.id as never);
    }
    const clock = await store.backends.privacy().recordingClock();
    expect(clock.latestMs() - Date.now()).toBeLessThan(60_000);
  });

  it('a ring that sealed an event and is missing is tampering, not an erase', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    const ann = await subjectOf(store, 'ann');
    const vault = store.backends.vaultStore();
    for await (const row of vault.scan(12, store.app.id)) {
      if (row.id === ann) await vault.commit([{ removals: [row] }]);
    }
    const cold = await store.reopen();
    const read = messagesOf(cold, await groupOf(cold));
    await expect(read).rejects.toMatchObject({ code: 'EVENT_TAMPERED' });
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
