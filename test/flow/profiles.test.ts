import { describe, expect, it } from 'vitest';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { readUser } from '../../services/reader/read-conversations.ts';
import { profile, received } from '../support/events.ts';
import { subjectOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

const PROFILE = {
  displayName: null,
  givenName: null,
  surname: null,
  email: null,
  avatarUrl: null,
  locale: null,
};

describe('profiles', () => {
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
    expect(user!.profile).toEqual({ displayName: 'A' });
  });
});
