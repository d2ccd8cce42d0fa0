import { describe, expect, it } from 'vitest';
import type { LossId, SubjectId } from '../../libs/base/ids.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { received, removed } from '../support/events.ts';
import { groupOf, messagesOf, textsOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

describe('requests', () => {
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
});
