import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileOf } from '../../../libs/configuration/configuration.ts';
import { findBackups, makeBackup } from '../../../services/operations/backup.ts';
import { restore } from '../../../services/operations/restore.ts';
import { turnEpoch } from '../../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { received } from '../../support/events.ts';
import { erase, openFriends, quietRestore } from '../../support/friends.ts';
import { groupOf, messagesOf, subjectOf, textsOf } from '../../support/reading.ts';
import { openAt, type TestStore } from '../../support/temporary-store.ts';

/** Loses the data folder, as a broken disk does. */
async function loseData(store: TestStore): Promise<void> {
  await store.ingest.close();
  await store.backends.close();
  renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
}

describe('a restore', () => {
  it('gives everything back, and erases again what was erased since the backup', async () => {
    const store = await openFriends();
    const backups = join(store.folder, 'mine');
    await erase(store, 'ann');
    const group = await groupOf(store);
    await makeBackup(store, backups, 1_800_000_000_000);
    await erase(store, 'ben');
    const [, , last] = await messagesOf(store, group);
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.forgetMessage(store.app.id, group, last!.id as never);
    await loseData(store);
    const restored = await restore(store.configuration, backups, quietRestore);
    expect(restored.applied).toBe(2);
    const again = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(again, group)).toEqual([null, null, null]);
    expect(await again.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
    const [outcome] = await again.deliver(received('cem', 'after', { id: '9' }));
    expect(outcome!.status).toBe('accepted');
  });

  it('S12 of the turn’s own backup works, and one from before the turn is refused and names it', async () => {
    const store = await openFriends();
    const group = await groupOf(store);
    const old = await makeBackup(store, store.configuration.backupsFolder, 1_700_000_000_000);
    await erase(store, 'ann');
    const { turn, backup } = await turnEpoch(store);
    expect(turn.step).toBe('done');
    await erase(store, 'ben');
    await loseData(store);
    const refused = restore(store.configuration, old.folder, quietRestore);
    await expect(refused).rejects.toThrow(`The newest that opens is ${backup}`);
    expect(existsSync(fileOf(store.configuration.vault))).toBe(false);
    expect((await restore(store.configuration, backup!, quietRestore)).applied).toBe(1);
    const again = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(again, group)).toEqual([null, null, 'theirs']);
  });

  it('S13 a backup holds no key, and S34 every event in it has its ring', async () => {
    const store = await openFriends();
    const parent = join(store.folder, 'mine');
    const writing = (async () => {
      for (let i = 0; i < 40; i += 1) {
        await store.deliver(received(`new-${i}`, `text ${i}`, { id: `n-${i}` }));
      }
    })();
    await new Promise((resolve) => setTimeout(resolve, 30));
    await makeBackup(store, parent, 1_800_000_000_000);
    await writing;
    await loseData(store);
    rmSync(join(store.folder, 'keys-copy'), { recursive: true, force: true });
    renameSync(join(store.folder, 'keys'), join(store.folder, 'keys-copy'));
    await expect(restore(store.configuration, parent, quietRestore)).rejects.toThrow('KMS key');
    renameSync(join(store.folder, 'keys-copy'), join(store.folder, 'keys'));
    await restore(store.configuration, parent, quietRestore);
    const again = await openAt(store.folder, {}, store.app.id);
    const texts = await textsOf(again, await groupOf(again));
    expect(texts).not.toContain(null);
    expect(texts.slice(0, 3)).toEqual(['hers', 'his', 'theirs']);
  });

  it('is refused over data that is there, and from a folder without a backup', async () => {
    const store = await openFriends();
    const parent = join(store.folder, 'mine');
    await makeBackup(store, parent, 1_800_000_000_000);
    await expect(restore(store.configuration, parent, quietRestore)).rejects.toThrow('is there');
    expect(() => findBackups(join(store.folder, 'nothing'))).toThrow('no backup');
  });

  it.each([0, 1])(
    'made after %i erasures is refused without their list, and beside a write-ahead log of the lost data',
    async (known) => {
      const store = await openFriends();
      const parent = join(store.folder, 'mine');
      const names = ['ann', 'ben'];
      for (const name of names.slice(0, known)) await erase(store, name);
      await makeBackup(store, parent, 1_800_000_000_000);
      for (const name of names.slice(known)) await erase(store, name);
      await loseData(store);
      const list = store.configuration.erasuresFolder;
      renameSync(list, `${list}.away`);
      await expect(restore(store.configuration, parent, quietRestore)).rejects.toThrow(
        'LETHE_ERASURES',
      );
      renameSync(`${list}.away`, list);
      const wal = `${fileOf(store.configuration.vault)}-wal`;
      mkdirSync(join(store.folder, 'data'), { recursive: true });
      writeFileSync(wal, 'old');
      await expect(restore(store.configuration, parent, quietRestore)).rejects.toThrow(
        'vault.db-wal',
      );
      rmSync(wal);
      expect((await restore(store.configuration, parent, quietRestore)).applied).toBe(2 - known);
    },
  );

  it.each<[string, string, (file: string) => void]>([
    ['its manifest is cut off', 'backup.json', (file) => writeFileSync(file, '{"format":1,"mad')],
    ['its log is missing', 'lethe.db', (file) => rmSync(file)],
    ['its vault is damaged', 'vault.db', (file) => writeFileSync(file, randomBytes(200_000))],
    ['its log is cut off', 'lethe.db', (file) => truncateSync(file, statSync(file).size / 2)],
  ])('is refused, with the file of the backup by name, where %s', async (_, name, damage) => {
    const store = await openFriends();
    const { folder } = await makeBackup(store, join(store.folder, 'mine'), Date.now());
    await loseData(store);
    damage(join(folder, name));
    const restoring = restore(store.configuration, folder, quietRestore);
    await expect(restoring).rejects.toMatchObject({ code: 'BACKUP_UNUSABLE' });
    await expect(restoring).rejects.toThrow(join(folder, name));
    expect(existsSync(fileOf(store.configuration.vault))).toBe(false);
  });

  it('finishes what had been asked for when the backup was made', async () => {
    const store = await openFriends();
    const parent = join(store.folder, 'mine');
    const group = await groupOf(store);
    const powers = store.backends.privacy();
    const subject = await subjectOf(store, 'ben');
    const id = '0123456789abcdef0123456789abcdef' as never;
    const times = { receivedAtMs: 1, changedAtMs: 1 };
    const loss = 'fedcba9876543210fedcba9876543210' as never;
    const asked = {
      id,
      loss,
      app: store.app.id,
      kind: 'erase-subject' as const,
      target: { subject },
    };
    await powers.requests.add({ ...asked, step: 'begun', ...times });
    await powers.erasures.add([{ ...asked, atMs: 1 }]);
    await makeBackup(store, parent, 1_800_000_000_000);
    await loseData(store);
    await restore(store.configuration, parent, quietRestore);
    const again = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(again, group)).toEqual(['hers', null, 'theirs']);
  });
});
