/** Three people who have written to each other, and what happens to them in many tests. */
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { received } from './events.ts';
import { subjectOf } from './reading.ts';
import { openTestStore, type TestStore } from './temporary-store.ts';

/** A restore that takes the list as far as it goes, and tells nothing of its progress. */
export const quietRestore = {
  isNewerRemoved: false,
  erasuresHead: 'any' as const,
  onProgress: () => undefined,
};

/** A store of three people, of whom none was erased. */
export async function openFriends(): Promise<TestStore> {
  const store = await openTestStore();
  await store.deliver(
    received('ann', 'hers', { id: '1' }),
    received('ben', 'his', { id: '2' }),
    received('cem', 'theirs', { id: '3' }),
  );
  return store;
}

/** Erases a person of this name; the id of the erasure. */
export async function erase(store: TestStore, name: string) {
  const subject = await subjectOf(store, name);
  const erased = await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, subject);
  if (erased.status !== 'done') throw new Error(erased.status);
  return erased.erasure;
}
