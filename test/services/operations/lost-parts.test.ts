import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { fileOf } from '../../../libs/configuration/configuration.ts';
import { makeBackup } from '../../../services/operations/backup.ts';
import { runDoctor } from '../../../services/operations/doctor.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { previewLoss } from '../../../services/privacy/life/preview.ts';
import { erase, openFriends } from '../../support/friends.ts';
import { lethe } from '../../support/processes.ts';
import { groupOf, subjectOf, textsOf } from '../../support/reading.ts';
import { embeddedVariables, openAt, type TestStore } from '../../support/temporary-store.ts';

/** Loses one file of a closed store, with what SQLite keeps beside it. */
async function lose(store: TestStore, name: string): Promise<void> {
  await store.ingest.close();
  await store.backends.close();
  const data = join(store.folder, 'data');
  for (const file of readdirSync(data).filter((one) => one.startsWith(name))) {
    rmSync(join(data, file));
  }
}

describe('a store whose log and state are lost', () => {
  it('is refused, and no turn ends the key of the backups that have them', async () => {
    const store = await openFriends();
    const { folder: backup } = await makeBackup(store, join(store.folder, 'mine'), Date.now());
    await erase(store, 'ann');
    await lose(store, 'lethe.db');
    const { folder } = store;
    const variables = embeddedVariables(folder);
    // Whoever makes no store says that there is none; whoever does must not make an empty log.
    expect((await lethe(folder, ['doctor'], variables)).code).toBe(2);
    for (const command of [['serve'], ['apps', 'create', 'more'], ['epoch', 'turn'], ['doctor']]) {
      const ended = await lethe(folder, command, variables);
      expect(ended.code, command.join(' ')).toBe(2);
      expect(ended.err).toMatch(/LETHE_STATE: it is empty|there is no store here/);
    }
    rmSync(join(folder, 'data'), { recursive: true });
    const restored = await lethe(
      folder,
      ['restore', backup, '--erasures-may-end-early'],
      variables,
    );
    expect(restored.code, restored.err).toBe(0);
    const back = await openAt(folder, {}, store.app.id);
    expect(await textsOf(back, await groupOf(back))).toEqual([null, 'his', 'theirs']);
  }, 60_000);
});

describe('views that are lost', () => {
  it('are told of, counted as missing, and come again from the start of the log', async () => {
    const store = await openFriends();
    const before = await textsOf(store, await groupOf(store));
    await lose(store, 'views.db');
    const back = await openAt(store.folder, {}, store.app.id);
    const checks = await runDoctor(back, () => undefined);
    const backlog = checks.find(({ name }) => name === 'backlog')!;
    expect(backlog.detail).toMatch(/^[1-9]\d* events not in the views yet/);
    const powers = back.backends.privacy();
    const subject = await subjectOf(back, 'ann');
    const wanted = { kind: 'erase-subject' as const, target: { subject } };
    expect((await previewLoss(powers, back.app.id, wanted)).behind).toBeGreaterThan(0);
    const erased = await createPrivacy(powers).eraseSubject(back.app.id, subject);
    if (erased.status !== 'done') throw new Error(erased.status);
    expect(erased.attack!.notTried.join()).toContain('events');
    await back.project();
    expect(await textsOf(back, await groupOf(back))).toEqual([null, ...before.slice(1)]);
    const again = await runDoctor(back, () => undefined);
    expect(again.filter(({ passed }) => !passed)).toEqual([]);
  });

  it('one by one are named by the doctor', async () => {
    const store = await openFriends();
    const database = new DatabaseSync(fileOf(store.configuration.views));
    const { g } = database.prepare('SELECT generation AS g FROM view_generations').get()!;
    database.exec(
      `DELETE FROM messages_${g} WHERE rowid IN (SELECT min(rowid) FROM messages_${g})`,
    );
    database.close();
    const checks = await runDoctor(store, () => undefined);
    const { passed, detail } = checks.find(({ name }) => name === 'views')!;
    expect(passed).toBe(false);
    expect(detail).toContain('1 messages of the log without a row: lethe rebuild');
  });

  it.each(['live = 0', 'generation = generation + 1'])(
    'because somebody changed which of them serve (%s) stop nobody, and are made anew',
    async (change) => {
      const store = await openFriends();
      const before = await textsOf(store, await groupOf(store));
      await store.ingest.close();
      await store.backends.close();
      const database = new DatabaseSync(fileOf(store.configuration.views));
      database.exec(`UPDATE view_generations SET ${change}`);
      database.close();
      const back = await openAt(store.folder, {}, store.app.id);
      await back.project();
      expect(await textsOf(back, await groupOf(back))).toEqual(before);
    },
  );
});
