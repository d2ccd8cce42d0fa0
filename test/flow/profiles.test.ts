import { describe, expect, it } from 'vitest';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { readUser } from '../../services/reader/read-conversations.ts';
import { openDoor, seeing } from '../support/door.ts';
import { profile, received } from '../support/events.ts';
import { recordsOf, subjectOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

describe('profiles', () => {
  it('who change different fields of a user or a conversation at once lose nothing', async () => {
    const door = await openDoor();
    await door.call('POST', '/users', { externalId: 'ann', profile: { email: 'a@example.org' } });
    const participants = [{ userExternalId: 'ann' }];
    const made = await door.call('POST', '/conversations', { type: 'personal', participants });
    const fields = ['displayName', 'givenName', 'surname', 'avatarUrl', 'locale'];
    const keys = Array.from({ length: 10 }, (_, i) => `key ${i}`);
    const path = `/conversations/${made.body.conversation.id}`;
    const answers = await Promise.all([
      ...fields.map((name) => door.call('PATCH', '/users/ann', { profile: { [name]: name } })),
      ...keys.map((key) => door.call('PATCH', '/users/ann', { metadata: { [key]: 1 } })),
      ...keys.map((key) => door.call('PATCH', path, { metadata: { [key]: 1 } })),
      door.call('PATCH', path, { displayName: 'Order 7' }),
    ]);
    for (const { status } of answers) expect(status).toBe(200);
    await door.store.project();
    const { user } = (await door.call('GET', '/users/ann')).body;
    expect(user.profile).toEqual({
      email: 'a@example.org',
      ...Object.fromEntries(fields.map((name) => [name, name])),
    });
    const all = Object.fromEntries(keys.map((key) => [key, 1]));
    expect(user.metadata).toEqual(all);
    const { conversation } = (await door.call('GET', path)).body;
    expect(conversation).toMatchObject({ displayName: 'Order 7', metadata: all });
  });

  it('what changes a part leaves the rest as it is, and null removes one', async () => {
    const door = await openDoor();
    const { store } = door;
    await store.deliver(
      profile('ann', { givenName: 'Ann', surname: 'Lee' }, { metadata: { a: 1, b: 2 } }),
      profile('ann', { surname: 'Low' }, { metadata: { b: null, c: { d: [1] } } }),
      profile('ann', { email: 'ann@example.org', givenName: null }),
    );
    const [user] = (await door.call('GET', '/users')).body.users;
    expect(user.profile).toEqual({ surname: 'Low', email: 'ann@example.org' });
    expect(user.metadata).toEqual({ a: 1, c: { d: [1] } });
    const patched = await door.call('PATCH', `/users/${user.id}`, {
      profile: { email: null },
      metadata: { a: null },
    });
    expect(patched.body.user).toMatchObject({
      profile: { surname: 'Low' },
      metadata: { c: { d: [1] } },
    });
    const read = await door.call('GET', `/users/${user.id}`, undefined, seeing(patched));
    expect(read.body.user).toEqual(patched.body.user);
    const participants = [{ userId: user.id }];
    const body = { type: 'personal', participants, displayName: 'Order', metadata: { a: 1, b: 2 } };
    const made = await door.call('POST', '/conversations', body);
    const path = `/conversations/${made.body.conversation.id}`;
    await door.call('PATCH', path, { displayName: null, metadata: { a: null } }, seeing(made));
    await store.project();
    const { conversation } = (await door.call('GET', path)).body;
    expect(conversation.displayName).toBeUndefined();
    expect(conversation.metadata).toEqual({ b: 2 });
  });

  it('a field that no profile has is refused, and nothing of the rest is taken', async () => {
    const door = await openDoor();
    const events = [profile('ann', { givenName: 'Ann', phone: '1' }), profile('ann', {})];
    const answer = await door.call('POST', '/events', events);
    const errors = answer.body.results.map((one: { error: object }) => one.error);
    expect(errors).toMatchObject([
      { pointer: '/data/profile/phone', title: expect.stringContaining('givenName') },
      { pointer: '/data/profile' },
    ]);
    const refused = await door.call('POST', '/users', {
      externalId: 'ben',
      profile: { phone: '1' },
    });
    expect(refused.status).toBe(400);
    expect((await door.call('GET', '/users')).body.users).toEqual([]);
  });

  it('metadata is bounded however it comes: at once, key by key, and removed ones counted', async () => {
    const door = await openDoor();
    const long = 'x'.repeat(1_500);
    await door.call('POST', '/users', { externalId: 'ann', metadata: { a: long } });
    const second = await door.call('PATCH', '/users/ann', { metadata: { b: long } });
    expect(second.status).toBe(200);
    const third = await door.call('PATCH', '/users/ann', { metadata: { c: long } });
    expect([third.status, third.body.errors[0].code]).toEqual([400, 'metadata_too_large']);
    const removed = await door.call('PATCH', '/users/ann', { metadata: { a: null, c: long } });
    expect(removed.status).toBe(200);
    const events = Array.from({ length: 300 }, (_, i) =>
      profile('ben', {}, { metadata: { [`k${i}`]: null } }),
    );
    const { results } = (await door.call('POST', '/events', events)).body;
    const count = (status: string) =>
      results.filter((one: { status: string }) => one.status === status).length;
    expect([count('accepted'), count('rejected')]).toEqual([256, 44]);
    const participants = [{ userExternalId: 'ann' }];
    const body = { type: 'personal', participants, metadata: { a: long, b: long } };
    const made = await door.call('POST', '/conversations', body);
    const path = `/conversations/${made.body.conversation.id}`;
    expect((await door.call('PATCH', path, { metadata: { c: long } })).status).toBe(400);
  });

  it('no header on the log has a key of metadata in clear', async () => {
    const store = await openTestStore();
    await store.deliver(profile('ann', {}, { metadata: { ViolentEx: 'no' } }));
    await store.deliver(profile('ann', {}, { metadata: { ViolentEx: 'yes', other: 1 } }));
    const kinds: (string | null)[] = [];
    for await (const { key, value } of recordsOf(store)) {
      expect(value.includes('ViolentEx')).toBe(false);
      const { header } = decodeRecord(key, value);
      if (header.type === 'ProfileUpdated') kinds.push(header.contentKind);
    }
    expect(kinds[0]).toMatch(/^metadata\.[0-9a-f]{16}$/);
    expect(kinds.slice(0, 2)).toEqual([kinds[0], kinds[0]]);
    expect(new Set(kinds).size).toBe(2);
    const user = await readUser(
      store.backends.reader(),
      store.app.id,
      await subjectOf(store, 'ann'),
    );
    expect(user!.metadata).toEqual({ ViolentEx: 'yes', other: 1 });
  });

  it('a profile written after a clear is read, even when the cleared one claims a later time', async () => {
    const store = await openTestStore();
    const later = new Date(Date.now() + 240_000).toISOString();
    await store.deliver(profile('ann', { givenName: 'Old' }, { time: later }));
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).clearProfile(store.app.id, ann);
    await store.deliver(profile('ann', { givenName: 'New' }));
    const user = await readUser(store.backends.reader(), store.app.id, ann);
    expect(user!.profile).toEqual({ givenName: 'New' });
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
    expect(user!.displayName).toBe('A');
  });
});
