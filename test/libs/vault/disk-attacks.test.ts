import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { openBackends } from '../../../libs/wiring/open-backends.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { readUser } from '../../../services/reader/read-conversations.ts';
import { PERSONAL, received } from '../../support/events.ts';
import { defaultConversationOf, messagesOf, subjectOf } from '../../support/reading.ts';
import { openTestStore, type TestStore } from '../../support/temporary-store.ts';

const TAMPERED = { code: 'VAULT_TAMPERED' };

/** A store with one person's message, and what the attacker needs to know of it. */
async function openVictim() {
  const store = await openTestStore();
  await store.deliver(received('ann', 'hers', { conversation: PERSONAL }));
  const ann = await subjectOf(store, 'ann');
  const conversation = await defaultConversationOf(store, 'ann');
  return { store, ann, conversation };
}

function attack(store: TestStore, sql: string, ...ids: string[]): void {
  const database = new DatabaseSync(join(store.folder, 'data/vault.db'));
  database.prepare(sql).run(...ids.map((id) => Buffer.from(store.app.id + id, 'hex')));
  database.close();
}

describe('who can write to the vault’s disk and has no key', () => {
  it('cannot make a living person look erased by removing their entry', async () => {
    const { store, ann } = await openVictim();
    attack(store, 'DELETE FROM vault_rows WHERE key = ?', `18${ann}`);
    const cold = await store.reopen();
    const erase = createPrivacy(cold.backends.privacy()).eraseSubject(store.app.id, ann);
    await expect(erase).rejects.toMatchObject(TAMPERED);
    const read = readUser(cold.backends.reader(), store.app.id, ann);
    await expect(read).rejects.toMatchObject(TAMPERED);
    expect((await cold.backends.vaultCheck()).missing).toBe(1);
  });

  it('cannot make everybody’s words look erased by removing the app’s ring', async () => {
    const { store, conversation } = await openVictim();
    attack(store, 'DELETE FROM vault_rows WHERE key = ?', `0b${store.app.id}`);
    const cold = await store.reopen();
    const read = messagesOf(cold, conversation);
    await expect(read).rejects.toMatchObject({ code: 'EVENT_TAMPERED' });
  });

  it.each([
    ['the record', '07'],
    ['the root', '02'],
  ])('cannot make an app look erased by marking %s', async (_, kind) => {
    const { store, conversation } = await openVictim();
    attack(store, 'UPDATE vault_rows SET state = 3 WHERE key = ?', kind + store.app.id);
    const cold = store.reopen().then((one) => messagesOf(one, conversation));
    await expect(cold).rejects.toMatchObject(TAMPERED);
  });

  it.each([
    ['12', 'state = 3'],
    ['12', 'version = version + 1'],
    ['24', 'state = 3'],
    ['25', "wrapped = x'00'"],
    ['22', 'state = 3'],
    ['21', 'bucket = bucket, state = 77'],
  ])('is found by the self-check: kind %s, %s', async (kind, change) => {
    const { store } = await openVictim();
    const hex = Number(kind).toString(16).padStart(2, '0');
    const sql = `UPDATE vault_rows SET ${change} WHERE hex(substr(key, 17, 1)) = upper('${hex}')`;
    expect((await store.backends.vaultCheck()).tampered).toBe(0);
    attack(store, sql);
    const cold = await store.reopen().then((one) => one.backends.vaultCheck());
    expect(cold.tampered).toBeGreaterThan(0);
  });

  it('cannot have a new vault made in place of the one that the log needs', async () => {
    const { store } = await openVictim();
    await store.ingest.close();
    await store.backends.close();
    for (const end of ['', '-wal', '-shm']) {
      rmSync(join(store.folder, `data/vault.db${end}`), { force: true });
    }
    await expect(openBackends(store.configuration)).rejects.toThrow(/LETHE_VAULT: .* is empty/);
    const database = new DatabaseSync(join(store.folder, 'data/vault.db'));
    expect(database.prepare('SELECT count(*) AS n FROM vault_rows').get()).toEqual({ n: 0 });
    database.close();
  });
});
