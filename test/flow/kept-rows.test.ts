import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import type { ConversationValue, DirectoryEntry } from '../../libs/vault/directory/directory.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { defaultConversationOf, groupOf, subjectOf, textsOf } from '../support/reading.ts';
import type { TestStore } from '../support/temporary-store.ts';
import { openPeople, openVault, rowsOf, taking } from '../support/vault-rows.ts';

// Who can change the vault's tables has them put every row back at once that a write has changed or
// removed. The write is answered as done.

/** Keeps rows of apps as they are: all, or those of which a condition is true. */
function keepRows(vault: DatabaseSync, isKept = 'TRUE'): void {
  const columns = Object.keys(rowsOf(vault)[0]!);
  const old = columns.map((name) => `OLD.${name}`).join();
  const back = `INSERT OR REPLACE INTO vault_rows (${columns.join()}) VALUES (${old})`;
  // The store's own rows go on: the known end of the list is one of them.
  const isOfApp = "hex(substr(OLD.key, 1, 16)) <> '00000000000000000000000000000000'";
  const when = `WHEN ${isOfApp} AND ${isKept} BEGIN ${back}; END`;
  vault.exec(`CREATE TRIGGER kept AFTER UPDATE ON vault_rows ${when};
    CREATE TRIGGER kept_too AFTER DELETE ON vault_rows ${when}`);
}

const certificatesOf = ({ configuration }: TestStore, erasure: string) =>
  existsSync(join(configuration.certificatesFolder, `${erasure}.json`));

describe('S51 a taking whose rows somebody keeps as they were', () => {
  it.each(Object.keys(taking))('is not answered, nor done, nor certified: %s', async (name) => {
    const store = await openPeople();
    const vault = openVault(fileOf(store.configuration.vault));
    keepRows(vault);
    const { requests } = store.backends.privacy();
    const privacy = createPrivacy(store.backends.privacy());
    // Of what is written and read in one it is told as a conflict that does not end.
    const code = expect.stringMatching(/^(VAULT_TAMPERED|CONTENDED)$/);
    await expect(taking[name]!(privacy, store)).rejects.toMatchObject({ code });
    const open = await requests.open(10);
    expect(open.length).toBe(1);
    expect(await requests.afterlives()).toEqual([]);
    expect(certificatesOf(store, open[0]!.id)).toBe(false);
    // When nobody keeps them any more it is carried out by itself.
    vault.exec('DROP TRIGGER kept; DROP TRIGGER kept_too');
    const again = await store.reopen();
    expect(await runOpenRequests(again.backends.privacy())).toBe(1);
    const left = (await defaultConversationOf(again, 'ann').catch(() => undefined)) as never;
    if (name.includes('person') && left !== undefined) {
      expect(await textsOf(again, left)).toEqual([null]);
    }
  });

  it.each(['identity', 'alias', 'subject'] as const)(
    'nor where only what leads to a person by their %s stays',
    async (kind) => {
      const store = await openPeople();
      const vault = openVault(fileOf(store.configuration.vault));
      const ann = await subjectOf(store, 'ann');
      keepRows(vault, `hex(substr(OLD.key, 17, 1)) = '${rowKinds[kind].toString(16)}'`);
      const { requests } = store.backends.privacy();
      const erasing = createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
      await expect(erasing).rejects.toThrow(/keeps (it as it was|rows as they were)|too busy/);
      expect(await requests.afterlives()).toEqual([]);
      expect((await requests.open(10)).length).toBe(1);
      vault.exec('DROP TRIGGER kept; DROP TRIGGER kept_too');
      const again = await store.reopen();
      expect(await runOpenRequests(again.backends.privacy())).toBe(1);
      await expect(subjectOf(again, 'ann')).rejects.toThrow();
    },
  );

  it('nor has a group ended with its last member: the business’s words in it are there', async () => {
    const store = await openPeople();
    const vault = openVault(fileOf(store.configuration.vault));
    const group = await groupOf(store);
    const [{ value }] = (await store.backends
      .privacy()
      .directory.conversations(store.app.id, [group])) as [
      DirectoryEntry<never, ConversationValue>,
    ];
    const isOfGroup = `lower(hex(OLD.key)) LIKE '%${value.messagePlace}'`;
    keepRows(vault, isOfGroup);
    const privacy = createPrivacy(store.backends.privacy());
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    expect((await privacy.eraseSubject(store.app.id, ann)).status).toBe('done');
    const last = privacy.eraseSubject(store.app.id, ben);
    await expect(last).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
    const { requests } = store.backends.privacy();
    const ended = new Set((await requests.afterlives()).map(({ id }) => id));
    const open = await requests.open(10);
    expect(open.map(({ kind }) => kind).toSorted()).toEqual([
      'delete-conversation',
      'erase-subject',
    ]);
    expect(open.some(({ id }) => ended.has(id))).toBe(false);
    vault.exec('DROP TRIGGER kept; DROP TRIGGER kept_too');
    const again = await store.reopen();
    await runOpenRequests(again.backends.privacy());
    expect(await again.backends.privacy().requests.open(10)).toEqual([]);
    const places = [value.messagePlace, value.profilePlace].map((id) => {
      return { app: store.app.id, kind: ringKinds.place, id };
    });
    const rings = await again.backends.privacy().keyring.use(places, async (found) => found);
    expect(rings).toEqual(['erased', 'erased']);
  });
});
