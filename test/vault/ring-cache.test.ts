import { describe, expect, it } from 'vitest';
import { Ring } from '../../libs/keyring/ring.ts';
import { createPrivacy } from '../../services/privacy/privacy.ts';
import { received } from '../support/events.ts';
import { subjectOf } from '../support/reading.ts';
import { openAt, openTestStore } from '../support/temporary-store.ts';

describe('a ring that is being loaded', () => {
  it('S02 is not installed when it was taken away since the load began', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    const ann = await subjectOf(store, 'ann');
    const other = await openAt(store.folder, {}, store.app.id);
    const vault = other.backends.vaultStore();
    const { read } = vault;
    let erased: Promise<unknown> | undefined;
    vault.read = async (keys) => {
      const rows = await read.call(vault, keys);
      if (erased === undefined && keys.some(({ kind, id }) => kind === 12 && id === ann)) {
        // The whole erase, T0 included, happens between the read and the installation.
        erased = createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
        await erased;
      }
      return rows;
    };
    const ref = { app: store.app.id, kind: 2 as const, id: ann };
    const { keyring } = other.backends.reader();
    expect(await keyring.use([ref], async ([ring]) => ring)).toBe('erased');
    expect(erased).toBeDefined();
    expect(await keyring.use([ref], async ([ring]) => ring)).toBe('erased');
  });

  it('is loaded anew, and stays usable, when something of it was forgotten meanwhile', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    const ann = await subjectOf(store, 'ann');
    const other = await openAt(store.folder, {}, store.app.id);
    const ref = { app: store.app.id, kind: 2 as const, id: ann };
    const { keyring } = other.backends.reader();
    const before = await keyring.use([ref], async ([ring]) => ring as Ring);
    const days = { fromDay: 20_000, toDay: 20_010, subject: ann };
    await createPrivacy(store.backends.privacy()).forgetDays(store.app.id, days);
    expect(before.isRevoked).toBe(true);
    await keyring.use([ref], async ([ring]) => {
      if (!(ring instanceof Ring)) throw new Error('it is there');
      expect(ring.daySeed(1, 20_005)).toBeUndefined();
      expect(ring.daySeed(1, 20_011)).toBeDefined();
    });
  });
});
