import { describe, expect, it } from 'vitest';
import { edited, joined, reacted, receipt, received } from '../support/events.ts';
import { groupOf, messagesOf, textsOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

describe('whose words a delivery may change', () => {
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
});
