import { describe, expect, it } from 'vitest';
import { received } from '../support/events.ts';
import { groupOf, messagesOf, subjectOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

describe('a ring that is missing', () => {
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
});
