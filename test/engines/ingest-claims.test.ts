import { describe, expect, it } from 'vitest';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { received } from '../support/events.ts';
import { groupOf, recordsOf, textsOf } from '../support/reading.ts';
import { openTestStore } from '../support/temporary-store.ts';

describe('a delivery that was claimed in the ledger', () => {
  it('by a writer that died before its event was on the log is taken in once more, as the same event', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'before'));
    const { log } = store.backends.ingest();
    const { append } = log;
    log.append = async () => {
      throw new LetheError('LOG_UNREACHABLE', 'cut off', { retryable: true });
    };
    const event = received('ann', 'words', { id: 'claimed' });
    await expect(store.deliver(event)).rejects.toMatchObject({ code: 'LOG_UNREACHABLE' });
    log.append = append;
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
