import { describe, expect, it } from 'vitest';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import { createApp } from '../../services/operations/create-app.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../support/events.ts';
import { defaultConversationOf, messagesOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

/** Delivers a message to another app of the store. */
async function deliverTo(store: TestStore, app: TestStore['app'], event: object): Promise<void> {
  const read = readCloudEvent(event, Date.now());
  if ('problem' in read) throw new Error('the event is valid');
  await store.ingest.accept(app.id, [{ kind: 'delivery', delivery: read.value }]);
  await store.project();
}

describe('an app', () => {
  it('is erased at once with everybody in it, and other apps lose nothing (promise: erase-app)', async () => {
    const store = await openTestStore();
    const { backends } = store;
    const other = await createApp(backends.administration(), { name: 'other', buckets: 16 });
    const hello = (text: string) => received('ann', text, { conversation: PERSONAL });
    await store.deliver(hello('here'));
    await deliverTo(store, other, hello('there'));
    const otherStore = { ...store, app: other };
    const [own, others] = [
      await defaultConversationOf(store, 'ann'),
      await defaultConversationOf(otherStore, 'ann'),
    ];
    const privacy = createPrivacy(backends.privacy());
    expect((await privacy.eraseApp(other.id)).status).toBe('done');
    expect(await textsOf(store, own)).toEqual(['here']);
    const { apps } = backends.administration();
    expect(await apps.find('other')).toBeUndefined();
    expect(await apps.wasErased(other.id)).toBe(true);
    expect((await privacy.eraseApp(other.id)).status).toBe('erased');
    expect(await textsOf(otherStore, others).catch(() => [null])).toEqual([null]);
    // What its rows still hold opens with nothing: a process that starts now cannot, either.
    const cold = await store.reopen();
    const read = messagesOf({ ...cold, app: other }, others);
    expect(JSON.stringify(await read.catch(() => []))).not.toContain('there');
    await expect(deliverTo(cold, other, hello('again'))).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
    expect(await textsOf(cold, own)).toEqual(['here']);
  });
});
