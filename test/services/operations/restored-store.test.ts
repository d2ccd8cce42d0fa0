import { cpSync, existsSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fileOf, readConfiguration } from '../../../libs/configuration/configuration.ts';
import { rowKinds } from '../../../libs/vault/rows/vault-store.ts';
import { placingMark } from '../../../libs/wiring/store-place.ts';
import { makeBackup } from '../../../services/operations/backup.ts';
import { restore } from '../../../services/operations/restore.ts';
import { turnEpoch } from '../../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { enforceErasures } from '../../../services/privacy/life/enforce.ts';
import { erase, openFriends, quietRestore } from '../../support/friends.ts';
import { lethe, startLethe } from '../../support/processes.ts';
import { groupOf, subjectOf, textsOf } from '../../support/reading.ts';
import {
  embeddedVariables,
  openAt,
  openConfigured,
  type TestStore,
  temporaryFolder,
} from '../../support/temporary-store.ts';
import { kindOf, openVault, rowsOf } from '../../support/vault-rows.ts';

/** Records an erasure that was begun and that nobody has listed yet. */
async function begin(store: TestStore, id: string, name: string): Promise<void> {
  const { requests, clock } = store.backends.privacy();
  const times = { receivedAtMs: clock.nowMs(), changedAtMs: clock.nowMs() };
  const target = { subject: await subjectOf(store, name) };
  const ids = { id: id.repeat(16), loss: `f${id.at(-1)}`.repeat(16), app: store.app.id };
  await requests.add({ ...ids, kind: 'erase-subject', target, step: 'begun', ...times } as never);
}

/** A store with two erasures begun, as its returned backup has them, and lost since. */
async function openLostWithBegun() {
  const store = await openFriends();
  for (const [i, name] of ['ann', 'ben'].entries()) await begin(store, `0${i + 1}`, name);
  const backup = await backupOf(store);
  await closeAndLose(store);
  const { folder } = store;
  const restoring = ['restore', backup, '--erasures-may-end-early'];
  return { store, backup, folder, variables: embeddedVariables(folder), restoring };
}

async function closeAndLose(store: TestStore, name = 'lost'): Promise<void> {
  await store.ingest.close();
  await store.backends.close();
  renameSync(join(store.folder, 'data'), join(store.folder, name));
}

const backupOf = async (store: TestStore) =>
  (await makeBackup(store, join(store.folder, 'mine'), Date.now())).folder;

async function reopened({ folder, app }: TestStore): Promise<TestStore> {
  const store = await openAt(folder, {}, app.id);
  onTestFinished(() => store.backends.close());
  return store;
}

describe('a restore', () => {
  it('ends where somebody is held, somebody was erased since, and an erasure is open', async () => {
    const store = await openFriends();
    const held = await createPrivacy(store.backends.privacy()).hold(
      store.app.id,
      await subjectOf(store, 'cem'),
    );
    expect(held.status).toBe('held');
    await begin(store, '01', 'ben');
    const backup = await backupOf(store);
    await erase(store, 'ann');
    await closeAndLose(store);
    await restore(store.configuration, backup, quietRestore);
    const again = await reopened(store);
    expect(await textsOf(again, await groupOf(again))).toEqual([null, null, 'theirs']);
  });

  it.each([rowKinds.appRing, rowKinds.ownerRing, rowKinds.placeRing])(
    'ends where a ring of an app with an open erasure is gone (kind %i): others are whole',
    async (kind) => {
      const store = await openFriends();
      await begin(store, '01', 'ben');
      const ben = await subjectOf(store, 'ben');
      const database = openVault(fileOf(store.configuration.vault));
      const isGone = (row: Parameters<typeof kindOf>[0]) =>
        kindOf(row) === kind &&
        (kind !== rowKinds.ownerRing || Buffer.from(row.key).toString('hex').endsWith(ben));
      for (const { key } of rowsOf(database).filter(isGone)) {
        database.prepare('DELETE FROM vault_rows WHERE key = ?').run(key);
      }
      const backup = await backupOf(store);
      await closeAndLose(store);
      const restored = await restore(store.configuration, backup, quietRestore);
      expect(restored.left.join()).toMatch(/missing from the vault|took nothing/);
    },
  );

  it('makes a first backup of its own, which restores with what was listed since', async () => {
    const store = await openFriends();
    const backup = await backupOf(store);
    await closeAndLose(store);
    const first = await restore(store.configuration, backup, quietRestore);
    const again = await reopened(store);
    await erase(again, 'ben');
    await closeAndLose(again, 'lost-too');
    // The list has an entry of the restored store, whose key no backup of the original has.
    const refused = restore(store.configuration, backup, quietRestore);
    await expect(refused).rejects.toMatchObject({ code: 'ERASURES_TAMPERED' });
    await restore(store.configuration, first.ownBackup!, quietRestore);
    const last = await reopened(store);
    expect(await textsOf(last, await groupOf(last))).toEqual(['hers', null, 'theirs']);
    expect((await turnEpoch(last)).turn.step).toBe('done');
  });

  it('is whole where no backup of it can be made, and says so', async () => {
    const store = await openFriends();
    const backup = await backupOf(store);
    await closeAndLose(store);
    const backupsFolder = join(store.folder, 'a file');
    writeFileSync(backupsFolder, '');
    const nowhere = { ...store.configuration, backupsFolder };
    const restored = await restore(nowhere, backup, quietRestore);
    expect(restored.ownBackup).toBeNull();
    expect(restored.left.join()).toContain('make one first');
    const again = await reopened(store);
    expect(await textsOf(again, await groupOf(again))).toEqual(['hers', 'his', 'theirs']);
  });

  it('takes nothing that its original lists from then on', async () => {
    const store = await openFriends();
    const folder = temporaryFolder();
    const backup = await backupOf(store);
    const list = () =>
      cpSync(store.configuration.erasuresFolder, join(folder, 'erasures'), { recursive: true });
    list();
    const variables = {
      ...embeddedVariables(folder),
      LETHE_KMS: `local:${join(store.folder, 'keys')}`,
    };
    const configuration = readConfiguration(variables);
    await restore(configuration, backup, quietRestore);
    const drill = await openConfigured(configuration, folder, {}, store.app.id);
    onTestFinished(() => drill.backends.close());
    await erase(store, 'ann');
    list();
    const look = enforceErasures(drill.backends.privacy(), () => undefined);
    await expect(look).rejects.toMatchObject({ code: 'ERASURES_TAMPERED' });
    expect(await textsOf(drill, await groupOf(drill))).toEqual(['hers', 'his', 'theirs']);
  });
});

describe('a restore by command', () => {
  it('that is killed while it places what it made leaves nothing that is taken for a store', async () => {
    const { store, folder, variables, restoring } = await openLostWithBegun();
    // It dies when it has moved the first of its files into their place.
    const dying = `import fs from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      const move = fs.renameSync;
      fs.renameSync = (from, to) => {
        move(from, to);
        if (to.endsWith('data/views.db')) process.kill(process.pid, 'SIGKILL');
      };
      syncBuiltinESMExports();`;
    const preload = `--import=data:text/javascript,${encodeURIComponent(dying)}`;
    const running = startLethe(folder, restoring, { ...variables, NODE_OPTIONS: preload });
    expect((await running.ended).signal).toBe('SIGKILL');
    const opened = await lethe(folder, ['doctor'], variables);
    expect(opened.code).toBe(2);
    expect(opened.err).toContain('was interrupted, and what is there is not whole');
    expect(opened.err).toContain('move the data away');
    renameSync(join(folder, 'data'), join(folder, 'half'));
    expect((await lethe(folder, restoring, variables)).code).toBe(0);
    expect((await lethe(folder, ['doctor'], variables)).code).toBe(0);
    const again = await reopened(store);
    await enforceErasures(again.backends.privacy(), () => undefined);
    expect(await textsOf(again, await groupOf(again))).toEqual([null, null, 'theirs']);
  }, 60_000);

  it.each(['lists', 'makes a backup'])(
    'that is killed while it %s is finished by the same command',
    async (when) => {
      const { store, backup, folder, variables, restoring } = await openLostWithBegun();
      const mark = placingMark(readConfiguration(variables));
      const backups = join(folder, 'backups');
      const isSo = () =>
        when === 'lists'
          ? (statSync(mark, { throwIfNoEntry: false })?.size ?? 0) > 0
          : existsSync(backups) && readdirSync(backups).length > 0;
      const running = startLethe(folder, restoring, variables);
      while (!isSo() && running.child.exitCode === null) await sleep(1);
      running.child.kill('SIGKILL');
      expect((await running.ended).signal).toBe('SIGKILL');
      const opened = await lethe(folder, ['doctor'], variables);
      expect(opened.code).toBe(2);
      expect(opened.err).toContain('run the same lethe restore once more');
      const finished = await lethe(folder, restoring, variables);
      expect(finished.code, finished.err).toBe(0);
      expect(finished.json).toMatchObject({ backup, ownBackup: expect.any(String) });
      expect((await lethe(folder, ['doctor'], variables)).code).toBe(0);
      // Each is on the list once, and its own backup restores with that list.
      const again = await reopened(store);
      const listed = await again.backends.privacy().erasures.read();
      const names = listed.map(({ kind, id }) => `${kind} ${id}`);
      expect(new Set(names).size).toBe(names.length);
      expect(names.filter((name) => name.startsWith('erase-subject')).length).toBe(2);
      expect(await textsOf(again, await groupOf(again))).toEqual([null, null, 'theirs']);
      await closeAndLose(again, 'once more');
      const own = ['restore', finished.json.ownBackup, '--erasures-may-end-early'];
      expect((await lethe(folder, own, variables)).code).toBe(0);
    },
    60_000,
  );

  it('of two into one place, one is done, and the other refused', async () => {
    const store = await openFriends();
    const backup = await backupOf(store);
    await erase(store, 'ann');
    await closeAndLose(store);
    const { folder } = store;
    const variables = embeddedVariables(folder);
    const restoring = ['restore', backup, '--erasures-may-end-early'];
    const both = await Promise.all([1, 2].map(() => lethe(folder, restoring, variables)));
    expect(both.map(({ code }) => code === 0).toSorted()).toEqual([false, true]);
    const refused = both.find(({ code }) => code !== 0)!;
    expect(refused.err).toMatch(/another restore works in|move the data away first/);
    expect(readdirSync(join(folder, 'data')).filter((name) => name.includes('restoring'))).toEqual(
      [],
    );
    const again = await reopened(store);
    expect(await textsOf(again, await groupOf(again))).toEqual([null, 'his', 'theirs']);
    expect((await turnEpoch(again)).turn.step).toBe('done');
  }, 60_000);
});
