import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { textToDay } from '../../libs/base/day.ts';
import type { MessageId } from '../../libs/base/ids.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { makeBackup } from '../../services/operations/backup.ts';
import { VAULT_COPY } from '../../services/operations/copy-data.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { restore } from '../../services/operations/restore.ts';
import { revokeKey } from '../../services/operations/revoke-key.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { watchErasures } from '../../services/privacy/life/enforce.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { received } from '../support/events.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  subjectOf,
  textsOf,
} from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';
import {
  hex,
  kindOf,
  openPeople,
  openVault,
  put,
  type Row,
  rowsOf,
  taking,
} from '../support/vault-rows.ts';

/** Loses the data, and restores it. */
async function restoreFrom(store: TestStore, backup: string): Promise<TestStore> {
  await store.ingest.close();
  await store.backends.close();
  renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
  const how = { isNewerRemoved: false, erasuresHead: 'any' as const, onProgress: () => undefined };
  await restore(store.configuration, backup, how);
  return openAt(store.folder, {}, store.app.id);
}

describe('S51 old rows of the vault that somebody without a key writes back undo nothing for long', () => {
  it.each([
    ['removes', 'DELETE FROM vault_rows'],
    ['overwrites', 'UPDATE vault_rows SET wrapped = zeroblob(80)'],
  ])(
    'nor does who %s the fence of somebody who was erased: it is put back, and pages open',
    async (_, change) => {
      const store = await openPeople();
      const database = openVault(fileOf(store.configuration.vault));
      const group = await groupOf(store);
      const ann = await subjectOf(store, 'ann');
      await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
      const pattern = `%${ann}`;
      database.prepare(`${change} WHERE lower(hex(key)) LIKE ?`).run(pattern);
      const again = await store.reopen();
      const code = expect.stringMatching(/^(EVENT|VAULT)_TAMPERED$/);
      await expect(textsOf(again, group)).rejects.toMatchObject({ code });
      const told: string[] = [];
      const look = watchErasures(again.backends.privacy(), ({ message }) => told.push(message));
      await look();
      expect(told).toEqual([
        expect.stringMatching(/fences of erase-subject .* They were put back/),
      ]);
      expect(await textsOf(again, group)).toEqual([null, 'his']);
      await look();
      expect(told.length).toBe(1);
      expect((await turnEpoch(again)).turn).toMatchObject({ step: 'done', failedApps: [] });
      expect(await textsOf(await again.reopen(), group)).toEqual([null, 'his']);
    },
  );

  it.each(Object.keys(taking).filter((name) => name !== 'an app’s'))(
    'of %s: doctor names it, a turn takes it once more before T1 is told',
    async (name) => {
      const store = await openPeople();
      const database = openVault(fileOf(store.configuration.vault));
      const before = rowsOf(database);
      const taken = await taking[name]!(createPrivacy(store.backends.privacy()), store);
      expect(taken.status).toBe('done');
      const now = new Map(rowsOf(database).map((row) => [hex(row), row]));
      const old = before.filter((row) => now.get(hex(row))?.version !== row.version);
      put(
        database,
        old.filter((row) => kindOf(row) !== rowKinds.listHead),
      );
      const again = await store.reopen();
      const undone = async () =>
        (await runDoctor(again, () => undefined)).find((check) => check.name === 'erasures');
      expect(await undone()).toMatchObject({ passed: false });
      const told: string[] = [];
      await turnEpoch(again, (text) => told.push(text));
      expect(told.join()).toContain('something of it was there again');
      expect(await undone()).toMatchObject({ passed: true });
      const { requests } = again.backends.privacy();
      expect(await requests.afterlives()).toMatchObject([{ t1AtMs: expect.any(Number) }]);
      // Nor do they open after the turn: what wraps them is gone.
      put(
        database,
        old.filter((row) => kindOf(row) !== rowKinds.listHead),
      );
      const last = await again.reopen();
      const checks = await runDoctor(last, () => undefined);
      expect(checks.find((check) => check.name === 'vault')).toMatchObject({ passed: false });
    },
  );

  it('where the rows were taken out while a message was forgotten: that is not said to be done', async () => {
    const store = await openPeople();
    const database = openVault(fileOf(store.configuration.vault));
    const group = await groupOf(store);
    const [first] = await messagesOf(store, group);
    const cold = await store.reopen();
    const hidden = rowsOf(database).filter((row) => kindOf(row) === rowKinds.placeRing);
    database.exec(`DELETE FROM vault_rows WHERE hex(substr(key, 17, 1)) = '0D'`);
    const privacy = createPrivacy(cold.backends.privacy());
    const forgetting = privacy.forgetMessage(cold.app.id, group, first!.id as MessageId);
    await expect(forgetting).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
    put(database, hidden);
    const again = await cold.reopen();
    // It was never said to be done: it stays open, and is finished by whoever looks next.
    expect(await runOpenRequests(again.backends.privacy())).toBe(1);
    expect(await textsOf(again, group)).toEqual([null, 'his']);
  });

  it('while privacy serves: its next look takes them once more, and tells of it once', async () => {
    const store = await openPeople();
    const database = openVault(fileOf(store.configuration.vault));
    const before = rowsOf(database);
    const powers = store.backends.privacy();
    const told: string[] = [];
    const look = watchErasures(powers, ({ message }) => told.push(message));
    expect((await look()).found).toBe(0);
    await createPrivacy(powers).eraseSubject(store.app.id, await subjectOf(store, 'ann'));
    expect((await look()).found).toBe(0);
    put(
      database,
      before.filter((row) => kindOf(row) !== rowKinds.listHead),
    );
    expect((await look()).found).toBe(1);
    expect((await look()).found).toBe(0);
    expect(told.length).toBe(1);
    const cold = await store.reopen();
    expect(await textsOf(cold, await groupOf(cold))).toEqual([null, 'his']);
  });

  it('while privacy serves, also where the record of its end was taken out with them', async () => {
    const store = await openPeople();
    const group = await groupOf(store);
    const ann = await subjectOf(store, 'ann');
    const database = openVault(fileOf(store.configuration.vault));
    const state = openVault(fileOf(store.configuration.state));
    const before = rowsOf(database);
    const erased = await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
    if (erased.status !== 'done') throw new Error(erased.status);
    const now = new Map(rowsOf(database).map((row) => [hex(row), row]));
    const old = before.filter((row) => now.get(hex(row))?.version !== row.version);
    const privacy = store.backends.privacy();
    const told: string[] = [];
    const look = watchErasures(privacy, ({ message }) => told.push(message));
    expect((await look()).found).toBe(0);
    state.exec('DELETE FROM request_afterlives');
    database.exec('DELETE FROM vault_dirty');
    put(
      database,
      old.filter((row) => kindOf(row) !== rowKinds.listHead),
    );
    expect((await look()).found).toBe(1);
    expect(told.join()).toContain('there was no record that it had ended');
    expect(await textsOf(store, group)).toEqual([null, 'his']);
    // It waits for T1 again, and a turn is due by that.
    expect(await privacy.requests.afterlives()).toMatchObject([
      { id: erased.erasure, t1AtMs: null },
    ]);
    expect((await look()).found).toBe(0);
  });

  it('of a person who is held: the hold is put back', async () => {
    const store = await openPeople();
    const database = openVault(fileOf(store.configuration.vault));
    const before = rowsOf(database).filter((row) => kindOf(row) === rowKinds.ownerRing);
    const powers = store.backends.privacy();
    const ann = await subjectOf(store, 'ann');
    const held = await createPrivacy(powers).hold(store.app.id, ann);
    expect(held.status).toBe('held');
    const told: string[] = [];
    const look = watchErasures(powers, ({ message }) => told.push(message));
    await look();
    expect(told).toEqual([]);
    put(database, before);
    await look();
    expect(told.join()).toContain('It was put back');
    expect(await createPrivacy(powers).eraseSubject(store.app.id, ann)).toMatchObject({
      status: 'refused',
    });
    if (held.status !== 'held') throw new Error(held.status);
    await createPrivacy(powers).release(store.app.id, ann, held.hold);
    await look();
    expect(told.length).toBe(1);
  });

  it('of two people who were merged: they are one again, and who erases one has erased both', async () => {
    const store = await openPeople();
    const { id: app } = store.app;
    const database = openVault(fileOf(store.configuration.vault));
    const before = rowsOf(database).filter((row) => kindOf(row) === rowKinds.ownerRing);
    const powers = store.backends.privacy();
    const privacy = createPrivacy(powers);
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    expect(await privacy.merge(app, ann, ben)).toBe('merged');
    const told: string[] = [];
    const look = watchErasures(powers, ({ message }) => told.push(message));
    await look();
    expect(told).toEqual([]);
    put(database, before);
    expect((await look()).found).toBe(1);
    expect(told.join()).toContain('merge-subjects');
    expect(await powers.keyringHold.mergedWith(app, ann)).toEqual([ann, ben]);
    // Once more, and one of them is erased before anybody looks.
    put(database, before);
    expect(await privacy.eraseSubject(app, ben)).toMatchObject({ status: 'done' });
    await look();
    const refs = [ann, ben].map((id) => ({ app, kind: ringKinds.owner, id }));
    expect(await powers.keyring.use(refs, async (rings) => rings)).toEqual(['erased', 'erased']);
    expect((await look()).found).toBe(0);
    await turnEpoch(store);
    expect((await powers.requests.afterlives()).every(({ t1AtMs }) => t1AtMs !== null)).toBe(true);
  });

  it('takes nobody who is held, where the entry that refused it was cut off the list', async () => {
    const store = await openPeople();
    const database = openVault(fileOf(store.configuration.vault));
    const powers = store.backends.privacy();
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(powers).hold(store.app.id, ann);
    const heads = () => rowsOf(database).filter((row) => kindOf(row) === rowKinds.listHead);
    // As the vault knew the list when the erasure was on it, and not yet refused.
    const { erasures } = powers;
    let asked: Row[] = [];
    const add: typeof erasures.add = async (entries, since) => {
      const joined = await erasures.add(entries, since);
      if (entries.some(({ kind }) => kind === 'erase-subject')) asked = heads();
      return joined;
    };
    const watched = { ...powers, erasures: { ...erasures, add } };
    // It is listed before the hold is found: a hold that came at the same time refuses it then.
    const areHeld = async () => [false];
    const keyringHold = { ...powers.keyringHold, areHeld };
    const late = createPrivacy({ ...watched, keyringHold });
    expect((await late.eraseSubject(store.app.id, ann)).status).toBe('refused');
    expect(asked.length).toBeGreaterThan(0);
    const folder = store.configuration.erasuresFolder;
    rmSync(join(folder, readdirSync(folder).toSorted().at(-1)!));
    put(database, asked);
    const again = await store.reopen();
    await turnEpoch(again);
    expect(await textsOf(again, await groupOf(again))).toEqual(['hers', 'his']);
  });

  it('of a hold: an erasure that it would have refused is told, once', async () => {
    const store = await openPeople();
    const ann = await subjectOf(store, 'ann');
    const privacy = createPrivacy(store.backends.privacy());
    const database = openVault(fileOf(store.configuration.vault));
    const before = rowsOf(database).filter((row) => {
      return kindOf(row) === rowKinds.ownerRing && hex(row).endsWith(ann);
    });
    const held = await privacy.hold(store.app.id, ann);
    if (held.status !== 'held') throw new Error(held.status);
    put(database, before);
    expect((await privacy.eraseSubject(store.app.id, ann)).status).toBe('done');
    const told: string[] = [];
    const look = watchErasures(store.backends.privacy(), ({ message }) => told.push(message));
    for (let i = 0; i < 2; i += 1) await look();
    expect(told).toEqual([expect.stringContaining('Who it was on has been erased')]);
  });

  it('of what a hold had kept, after its end: it goes once more', async () => {
    const store = await openTestStore();
    const { id: app } = store.app;
    const in2024 = { time: '2024-06-01T12:00:00.000Z' };
    await store.deliver(
      received('ann', 'ann 2024', { id: 'a', ...in2024 }),
      received('ben', 'ben 2025', { id: 'b' }),
    );
    const ann = await subjectOf(store, 'ann');
    const group = await groupOf(store);
    const privacy = createPrivacy(store.backends.privacy());
    const held = await privacy.hold(app, ann);
    if (held.status !== 'held') throw new Error(held.status);
    await privacy.forgetDays(app, { fromDay: 0, toDay: textToDay('2024-12-31') });
    const database = openVault(fileOf(store.configuration.vault));
    const before = rowsOf(database).filter((row) => {
      return kindOf(row) === rowKinds.ownerRing && hex(row).endsWith(ann);
    });
    database.exec('CREATE TABLE aside AS SELECT * FROM vault_segments');
    const back = () => {
      put(database, before);
      database.exec('INSERT OR IGNORE INTO vault_segments SELECT * FROM aside');
    };
    await privacy.release(app, ann, held.hold);
    back();
    const again = await store.reopen();
    expect(await textsOf(again, group)).toContain('ann 2024');
    const look = watchErasures(again.backends.privacy(), () => undefined);
    expect((await look()).found).toBe(1);
    expect(await textsOf(again, group)).toEqual([null, 'ben 2025']);
    // Nor while a turn looks.
    await turnEpoch(again, (step) => step.endsWith(': apps') && back());
    expect(await textsOf(await again.reopen(), group)).toEqual([null, 'ben 2025']);
  });

  it('of an access key that was revoked: it is revoked once more', async () => {
    const store = await openPeople();
    const powers = store.backends.administration();
    const { accessKeys, clock } = powers;
    const nowMs = clock.nowMs();
    const key = await accessKeys.create({ app: store.app.id, scope: 'app', nowMs });
    const database = openVault(fileOf(store.configuration.vault));
    const state = openVault(fileOf(store.configuration.state));
    const before = rowsOf(database).filter((row) => kindOf(row) === rowKinds.accessKey);
    await revokeKey(powers, key.id);
    put(database, before);
    state.exec('UPDATE access_keys SET revoked_at = NULL');
    const again = await store.reopen();
    const told: string[] = [];
    const privacy = again.backends.privacy();
    await watchErasures(privacy, ({ message }) => told.push(message))();
    expect(told.join()).toContain(`the access key ${key.id} had been revoked`);
    const basic = `Basic ${btoa(`${key.id}:${key.secret}`)}`;
    const administration = again.backends.administration();
    expect(await administration.accessKeys.recognise(basic)).toBeUndefined();
  });

  it.each([
    ['its newest entry', (names: string[]) => names.slice(-1)],
    ['every entry', (names: string[]) => names],
  ])('where the list of erasures was cut off too: no T1 is told without %s', async (_, cut) => {
    const store = await openPeople();
    await createPrivacy(store.backends.privacy()).eraseSubject(
      store.app.id,
      await subjectOf(store, 'ann'),
    );
    const folder = store.configuration.erasuresFolder;
    for (const name of cut(readdirSync(folder).toSorted())) rmSync(join(folder, name));
    await expect(turnEpoch(store)).rejects.toThrow('LETHE_ERASURES');
    const checks = await runDoctor(store, () => undefined);
    expect(checks.find(({ name }) => name === 'erasures')).toMatchObject({ passed: false });
    const { requests } = store.backends.privacy();
    expect(await requests.afterlives()).toMatchObject([{ t1AtMs: null }]);
  });

  it('of a group that was deleted, its rings alone: they are looked for', async () => {
    const store = await openPeople();
    const database = openVault(fileOf(store.configuration.vault));
    const before = rowsOf(database).filter((row) => kindOf(row) === rowKinds.placeRing);
    const powers = store.backends.privacy();
    const look = watchErasures(powers, () => undefined);
    await createPrivacy(powers).deleteConversation(store.app.id, await groupOf(store));
    put(database, before);
    expect((await look()).found).toBe(1);
    expect((await look()).found).toBe(0);
  });

  it('where the key of the names was taken out: nobody comes anew, and it is told', async () => {
    const store = await openPeople();
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
    const database = openVault(fileOf(store.configuration.vault));
    database.exec(`DELETE FROM vault_rows WHERE hex(substr(key, 17, 1)) = '03'`);
    const again = await store.reopen();
    const redelivered = again.deliver(received('ann', 'hers', { id: 'a' }));
    await expect(redelivered).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
  });

  it.each([
    ['record', '07'],
    ['root', '02'],
  ])(
    'where the %s of the one app was taken out: no other is made in its place',
    async (_, kind) => {
      const store = await openPeople();
      const database = openVault(fileOf(store.configuration.vault));
      database.exec(`DELETE FROM vault_rows WHERE hex(substr(key, 17, 1)) = '${kind}'`);
      await store.ingest.close();
      await store.backends.close();
      const backends = await openBackends(store.configuration);
      onTestFinished(() => backends.close());
      const listing = backends.administration().apps.list();
      await expect(listing).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
    },
  );

  it('where a restore is told that its copy is newer than it is', async () => {
    const store = await openPeople();
    const group = await groupOf(store);
    const { backends, configuration } = store;
    const backup = async (name: string) =>
      (await makeBackup({ backends, configuration }, join(store.folder, name), Date.now())).folder;
    const older = await backup('older');
    await createPrivacy(backends.privacy()).eraseSubject(
      store.app.id,
      await subjectOf(store, 'ann'),
    );
    const newer = await backup('newer');
    const [from, to] = [newer, older].map((folder) => openVault(join(folder, VAULT_COPY)));
    put(
      to!,
      rowsOf(from!).filter((row) => kindOf(row) === rowKinds.listHead),
    );
    for (const one of [from!, to!]) one.close();
    const back = await restoreFrom(store, older);
    expect(await textsOf(back, group)).toEqual([null, 'his']);
    expect(existsSync(join(store.folder, 'certificates'))).toBe(true);
    expect(readdirSync(join(store.folder, 'certificates')).length).toBe(2);
  });

  it('by taking away the marks of what lost something: T1 is told when old copies open nothing', async () => {
    const store = await openPeople();
    const conversation = await defaultConversationOf(store, 'ann');
    const copy = join(store.folder, 'stolen.db');
    const database = openVault(fileOf(store.configuration.vault));
    database.exec(`VACUUM INTO '${copy}'`);
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
    database.exec('DELETE FROM vault_dirty');
    openVault(fileOf(store.configuration.state)).exec('DELETE FROM request_afterlives');
    const { turn } = await turnEpoch(store);
    expect(turn.buckets).toBeGreaterThan(0);
    // The thief's rows of her, beside the keys of today.
    const now = new Map(rowsOf(database).map((row) => [hex(row), row]));
    const old = rowsOf(openVault(copy)).filter((row) => {
      return kindOf(row) !== rowKinds.listHead && now.get(hex(row))?.version !== row.version;
    });
    const rings: number[] = [rowKinds.ownerRing, rowKinds.placeRing, rowKinds.subject];
    put(
      database,
      old.filter((row) => rings.includes(kindOf(row))),
    );
    const again = await store.reopen();
    const reading = textsOf(again, conversation).catch(({ code }: { code: string }) => [code]);
    expect(await reading).not.toContain('secret');
  });
});

describe('an access key that was revoked after a backup', () => {
  it('stays revoked when that backup is restored', async () => {
    const store = await openPeople();
    const { backends, configuration } = store;
    const { accessKeys, clock } = backends.administration();
    const keyOf = () =>
      accessKeys.create({ app: store.app.id, scope: 'app', nowMs: clock.nowMs() });
    const [kept, revoked] = [await keyOf(), await keyOf()];
    const folder = join(store.folder, 'backup');
    const made = await makeBackup({ backends, configuration }, folder, Date.now());
    expect(await revokeKey(backends.administration(), revoked.id)).toBe(true);
    expect(await revokeKey(backends.administration(), revoked.id)).toBe(false);
    const back = await restoreFrom(store, made.folder);
    const recognise = ({ id, secret }: typeof kept) =>
      back.backends.administration().accessKeys.recognise(`Basic ${btoa(`${id}:${secret}`)}`);
    expect(await recognise(kept)).toMatchObject({ keyId: kept.id });
    expect(await recognise(revoked)).toBeUndefined();
  });
});
