import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { received, removed, sent } from '../support/events.ts';
import { groupOf, textsOf } from '../support/reading.ts';
import { openAt, openTestStore } from '../support/temporary-store.ts';

describe('deliveries of one (source, id), from two processes on servers', () => {
  it('S52 a removal and its message see each other, and of two messages one stays', async () => {
    const one = await openTestStore();
    const other = await openAt(one.folder, {}, one.app.id);
    await one.deliver(received('ann', 'before', { id: 'first' }));
    const statuses = async (outcomes: ReturnType<typeof one.accept>) =>
      (await outcomes).map(({ status }) => status);
    await one.deliver(removed('late', { by: 'ann' }));
    const late = received('ann', 'late', { id: 'late' });
    expect(await statuses(other.accept(late))).toEqual(['erased']);
    expect(await statuses(one.accept(late))).toEqual(['erased']);
    for (let n = 0; n < 10; n += 1) {
      const id = `race ${n}`;
      const [message, removal] = await Promise.all([
        sleep((n % 3) * 3).then(() => one.accept(received('ann', id, { id }))),
        sleep((n % 2) * 3).then(() => other.accept(removed(id, { by: 'ann' }))),
      ]);
      expect(['accepted', 'erased']).toContain(message[0]!.status);
      expect(removal[0]!.status).toBe('accepted');
      const twin = `twin ${n}`;
      const twins = await Promise.all([
        statuses(one.accept(received('ann', twin, { id: twin }))),
        statuses(other.accept(sent(null, `${twin} of the business`, { id: twin }))),
      ]);
      expect(twins.flat().toSorted()).toEqual(['accepted', 'rejected']);
    }
    await runOpenRequests(other.backends.privacy());
    await other.project();
    const texts = await textsOf(other, await groupOf(other));
    const shown = texts.filter((text) => text !== null);
    expect(shown.filter((text) => !text.startsWith('twin'))).toEqual(['before']);
    expect(shown.length).toBe(11);
  });
});
