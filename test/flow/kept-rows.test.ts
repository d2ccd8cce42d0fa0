import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { defaultConversationOf, textsOf } from '../support/reading.ts';
import type { TestStore } from '../support/temporary-store.ts';
import { openPeople, openVault, rowsOf, taking } from '../support/vault-rows.ts';

// Who can change the vault's tables has them put every row back at once that a write has changed or
// removed. The write is answered as done.

/** Keeps every row of these kinds as it is. */
function keepRows(vault: DatabaseSync): void {
  const columns = Object.keys(rowsOf(vault)[0]!);
  const old = columns.map((name) => `OLD.${name}`).join();
  const back = `INSERT OR REPLACE INTO vault_rows (${columns.join()}) VALUES (${old})`;
  // The store's own rows go on: the known end of the list is one of them.
  const isOfApp = "hex(substr(OLD.key, 1, 16)) <> '00000000000000000000000000000000'";
  vault.exec(`CREATE TRIGGER kept AFTER UPDATE ON vault_rows WHEN ${isOfApp} BEGIN ${back}; END;
    CREATE TRIGGER kept_too AFTER DELETE ON vault_rows WHEN ${isOfApp} BEGIN ${back}; END`);
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
});
