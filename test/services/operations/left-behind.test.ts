import { copyFileSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeBackup } from '../../../services/operations/backup.ts';
import { turnEpoch } from '../../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { received } from '../../support/events.ts';
import { lethe, startLethe } from '../../support/processes.ts';
import { subjectOf } from '../../support/reading.ts';
import { openTestStore, temporaryFolder } from '../../support/temporary-store.ts';

/** A store with somebody who was erased, and a backup; closed. */
async function makeStore() {
  const store = await openTestStore();
  await store.deliver(received('ann', 'hers', { id: 'a' }), received('ben', 'his', { id: 'b' }));
  const { backends, configuration, folder, app } = store;
  const backup = await makeBackup({ backends, configuration }, join(folder, 'kept'), Date.now());
  await createPrivacy(backends.privacy()).eraseSubject(app.id, await subjectOf(store, 'ann'));
  await store.ingest.close();
  await backends.close();
  return { folder, backup: backup.folder };
}

const keysIn = (folder: string) =>
  readdirSync(join(folder, 'keys')).filter((name) => name.endsWith('.key'));

describe('what lies beside the data', () => {
  it('S58 keeps a new store from being made where one was lost: nobody is taken in again', async () => {
    const { folder } = await makeStore();
    rmSync(join(folder, 'data'), { recursive: true });
    for (const command of [['apps', 'create', 'other'], ['serve']]) {
      const made = await lethe(folder, command);
      expect(made.code).not.toBe(0);
      expect(made.err).toContain('has 2 entries of one: mount its disk, or restore a backup');
    }
    expect(existsSync(join(folder, 'data/vault.db'))).toBe(false);
    expect(existsSync(join(folder, 'data/lethe.db'))).toBe(false);
  });

  it('S57 ends no key of an original that serves, from a drill beside it', async () => {
    const { folder, backup } = await makeStore();
    const drill = temporaryFolder();
    const serving = startLethe(folder, ['serve', '--json'], { LETHE_HTTP: '127.0.0.1:0' });
    await serving.printed('listening');
    const variables = { LETHE_KMS: `local:${join(folder, 'keys')}` };
    const more = { ...variables, LETHE_ERASURES: join(folder, 'erasures') };
    const restored = await lethe(drill, ['restore', backup, '--erasures-may-end-early'], more);
    expect(restored.code, restored.err).toBe(0);
    const before = keysIn(folder);
    const refused = await lethe(drill, ['epoch', 'end-original', '--yes'], more);
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain('nothing was ended. After a restore drill leave it');
    expect(keysIn(folder)).toEqual(before);
    // The key that a turn beside it makes is served with at once.
    expect((await lethe(folder, ['epoch', 'turn'])).code).toBe(0);
    const again = await lethe(drill, ['epoch', 'end-original', '--yes'], more);
    expect(again.err).toContain('nothing was ended');
    serving.child.kill('SIGTERM');
    await serving.ended;
    const ended = await lethe(drill, ['epoch', 'end-original', '--yes'], more);
    expect(ended.json.gone.length, ended.err).toBe(2);
  }, 30_000);

  it('a key that was destroyed and is put back is named by doctor', async () => {
    const { folder } = await makeStore();
    const [key] = keysIn(folder);
    copyFileSync(join(folder, 'keys', key!), join(folder, 'copy'));
    expect((await lethe(folder, ['epoch', 'turn'])).code).toBe(0);
    expect((await lethe(folder, ['doctor'])).code).toBe(0);
    copyFileSync(join(folder, 'copy'), join(folder, 'keys', key!));
    const told = await lethe(folder, ['doctor']);
    expect(told.code).not.toBe(0);
    expect(JSON.stringify(told.json)).toContain('had been destroyed and is there again');
  }, 30_000);

  it('of an app that was erased nothing waits for a turn any more', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hers', { id: 'a' }));
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.eraseSubject(store.app.id, await subjectOf(store, 'ann'));
    await privacy.eraseApp(store.app.id);
    await turnEpoch(store);
    expect(await store.backends.epoch().status()).toMatchObject({ dirtyBuckets: 0 });
  });

  it('that is a list of erasures which is gone is not begun anew by a backup, which says so', async () => {
    const { folder } = await makeStore();
    const list = join(folder, 'erasures');
    rmSync(list, { recursive: true });
    const made = await lethe(folder, ['backup', join(folder, 'another')]);
    expect(made.code).not.toBe(0);
    expect(made.err).toContain(`LETHE_ERASURES: ${list} is not the list of this store`);
    expect(existsSync(list)).toBe(false);
    expect(existsSync(join(folder, 'another')) && readdirSync(join(folder, 'another'))).not.toEqual(
      expect.arrayContaining([expect.any(String)]),
    );
  });

  it('that are certificates which are gone are told by doctor', async () => {
    const { folder } = await makeStore();
    rmSync(join(folder, 'certificates'), { recursive: true });
    const { json } = await lethe(folder, ['doctor']);
    const check = json.checks.find(({ name }: { name: string }) => name === 'certificates');
    expect(check.detail).toMatch(/is missing|of 1 erasures there is none here/);
  });
});
