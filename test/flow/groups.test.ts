import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import type { ConversationId, SubjectId } from '../../libs/base/ids.ts';
import { Ring } from '../../libs/keyring/ring.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { joined, left, reacted, receipt, received, sent } from '../support/events.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

const erase = (store: TestStore, who: SubjectId) =>
  createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, who);

function hasRing(store: TestStore, kind: 2 | 3, id: string): Promise<boolean> {
  const ref = { app: store.app.id, kind, id };
  return store.backends.reader().keyring.use([ref], async ([ring]) => ring instanceof Ring);
}

async function members(store: TestStore, group: ConversationId): Promise<SubjectId[]> {
  const { directory } = store.backends.reader();
  const [entry] = await directory.conversations(store.app.id, [group]);
  if (typeof entry !== 'object') throw new Error('the group is gone');
  return Array.fromAsync(directory.members(store.app.id, group));
}

describe('what a business says in a group', () => {
  it('S26 goes when nobody is left who ever joined or wrote there, and then surely', async () => {
    const store = await openTestStore();
    await store.deliver(
      joined('cem', { id: '1' }),
      left('cem', { id: '2' }),
      received('ann', 'hers', { id: '3' }),
      received('ben', 'his', { id: '4' }),
      sent(null, 'ours', { id: '5' }),
    );
    const group = await groupOf(store);
    const [ann, ben, cem] = [
      await subjectOf(store, 'ann'),
      await subjectOf(store, 'ben'),
      await subjectOf(store, 'cem'),
    ];
    expect(new Set(await members(store, group))).toEqual(new Set([ann, ben, cem]));
    const other = await openAt(store.folder, {}, store.app.id);
    await Promise.all([erase(store, ann), erase(other, ben)]);
    await store.project();
    // Who left earlier is alive: the group's own words stay.
    expect(await textsOf(store, group)).toEqual([null, null, 'ours']);
    expect(await hasRing(store, 2, group)).toBe(true);
    await erase(other, cem);
    await store.project();
    expect(await hasRing(store, 2, group)).toBe(false);
    await expect(groupOf(store)).rejects.toThrow('no conversation');
    const again = await store.deliver(received('dan', 'new', { id: '6' }));
    expect(again[0]!.status).toBe('accepted');
    expect(await groupOf(store)).not.toBe(group);
  });

  it('S26 goes when its last two people are erased at the same moment by two processes', async () => {
    for (let round = 0; round < 5; round += 1) {
      const store = await openTestStore();
      await store.deliver(
        received('ann', 'hers', { id: '1' }),
        received('ben', 'his', { id: '2' }),
        sent(null, 'ours', { id: '3' }),
      );
      const group = await groupOf(store);
      const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
      const other = await openAt(store.folder, {}, store.app.id);
      await Promise.all([erase(store, ann), erase(other, ben)]);
      expect(await hasRing(store, 2, group)).toBe(false);
    }
  });

  it('does not stay for those who only read or reacted, and goes with no outsider', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'hers', { id: '1' }),
      sent(null, 'ours', { id: '2' }),
      receipt('cem', '2', 'read', { id: '3' }),
      reacted('cem', '2', '👍', { id: '4' }),
      left('dan', { id: '5' }),
    );
    const group = await groupOf(store);
    await erase(store, await subjectOf(store, 'dan'));
    expect(await hasRing(store, 2, group)).toBe(true);
    await erase(store, await subjectOf(store, 'ann'));
    expect(await hasRing(store, 2, group)).toBe(false);
    // Nothing ties people to a group that is gone.
    for await (const _ of store.backends.vaultStore().scan(26)) throw new Error('a member row');
  });

  it('counts those to whom the business wrote there', async () => {
    const store = await openTestStore();
    const conversation = { type: 'sdkGroup', externalId: 'room-1' };
    await store.deliver(joined('ann'), sent('ben', 'ours', { id: '2', conversation }));
    const group = await groupOf(store);
    await erase(store, await subjectOf(store, 'ann'));
    expect(await hasRing(store, 2, group)).toBe(true);
    await erase(store, await subjectOf(store, 'ben'));
    expect(await hasRing(store, 2, group)).toBe(false);
  });

  it('stays when a fence of somebody was removed by an attacker: that is told, not believed', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: '1' }), received('ben', 'his', { id: '2' }));
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    await erase(store, ann);
    const database = new DatabaseSync(join(store.folder, 'data/vault.db'));
    const key = Buffer.from(`${store.app.id}0c${ann}`, 'hex');
    database.prepare('DELETE FROM vault_rows WHERE key = ?').run(key);
    database.close();
    await expect(erase(store, ben)).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
  });

  it('stays when somebody joins while its last person is erased', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: '1' }), sent(null, 'ours', { id: '2' }));
    const ann = await subjectOf(store, 'ann');
    const [, outcomes] = await Promise.all([
      erase(store, ann),
      store.deliver(received('ben', 'his', { id: '3' })),
    ]);
    expect(outcomes[0]!.status).toBe('accepted');
    await store.project();
    const group = await groupOf(store);
    expect(await hasRing(store, 2, group)).toBe(true);
    expect(await textsOf(store, group)).toContain('his');
  });

  it('is remembered with each person once, however often they write', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'one', { id: '1' }), received('ann', 'two', { id: '2' }));
    const cold = await store.reopen();
    await cold.deliver(received('ann', 'three', { id: '3' }), received('ben', 'his', { id: '4' }));
    const group = await groupOf(cold);
    const [ann, ben] = [await subjectOf(cold, 'ann'), await subjectOf(cold, 'ben')];
    expect(await members(cold, group)).toEqual([ben, ann]);
    const [entry] = await cold.backends.reader().directory.subjects(cold.app.id, [ann]);
    expect(entry!.value.groups).toEqual([group]);
  });
});
