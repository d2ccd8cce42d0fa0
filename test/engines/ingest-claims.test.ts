import { describe, expect, it, onTestFinished } from 'vitest';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import { createIngestJournalApart } from '../../libs/journal/ingest-journal-apart.ts';
import { openConnections } from '../../libs/wiring/connections.ts';
import { openState } from '../../libs/wiring/open-engines.ts';
import { openIngest } from '../../services/ingest/ingest.ts';
import { received } from '../support/events.ts';
import { groupOf, recordsOf, textsOf } from '../support/reading.ts';
import { itemsOf, openTestStore } from '../support/temporary-store.ts';

describe('a delivery that was claimed in the ledger', () => {
  it('by a writer that died before its event was on the log is taken in once more, as the same event', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'before'));
    const powers = store.backends.ingest();
    const append = async () => {
      throw new LetheError('LOG_UNREACHABLE', 'cut off', { retryable: true });
    };
    const use = { wake: createWakeSignal(), connections: openConnections() };
    const state = await openState(store.configuration, use);
    onTestFinished(() => state.close());
    const journal = createIngestJournalApart({ log: { ...powers.log, append }, ...state });
    const dying = await openIngest({ ...powers, journal });
    const event = received('ann', 'words', { id: 'claimed' });
    await expect(dying.accept(store.app.id, itemsOf([event]))).rejects.toMatchObject({
      code: 'LOG_UNREACHABLE',
    });
    const [outcome] = await store.deliver(event);
    expect(outcome).toMatchObject({ status: 'accepted' });
    const [again] = await store.deliver(event);
    const { eventId } = outcome as { eventId: string };
    expect(again).toEqual({ status: 'duplicate', eventId });
    expect(await textsOf(store, await groupOf(store))).toEqual(['before', 'words']);
    let copies = 0;
    for await (const { value } of recordsOf(store)) {
      if (value.includes(Buffer.from(eventId, 'hex'))) copies += 1;
    }
    expect(copies).toBe(1);
  });
});
