import { mkdirSync, readdirSync, renameSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type MessageId, NO_ID } from '../../../../libs/base/ids.ts';
import { fileOf } from '../../../../libs/configuration/configuration.ts';
import { rowKinds } from '../../../../libs/vault/rows/vault-store.ts';
import { makeBackup } from '../../../../services/operations/backup.ts';
import { createApp } from '../../../../services/operations/create-app.ts';
import { runDoctor } from '../../../../services/operations/doctor.ts';
import { restore } from '../../../../services/operations/restore.ts';
import { revokeKey } from '../../../../services/operations/revoke-key.ts';
import { settleEpoch, turnEpoch } from '../../../../services/operations/turn-epoch.ts';
import { createPrivacy, type Privacy } from '../../../../services/privacy/doors/privacy.ts';
import { enforceErasures } from '../../../../services/privacy/life/enforce.ts';
import { PERSONAL, received } from '../../../support/events.ts';
import { quietRestore } from '../../../support/friends.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  placeRingOf,
  subjectOf,
  textsOf,
} from '../../../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../../../support/temporary-store.ts';

type Kind = keyof typeof rowKinds;

/** Flips one bit of the first living row of a kind, as a disk does. */
function damage(store: TestStore, kind: Kind, of: string = store.app.id, id?: number): void {
  const name = id === undefined ? undefined : id.toString(16).padStart(32, '0');
  damageIn(fileOf(store.configuration.vault), { kind, of, id: name });
}

function damageIn(file: string, row: { kind: Kind; of: string; id: string | undefined }): void {
  const { kind, of, id } = row;
  const database = new DatabaseSync(file);
  const its = id === undefined ? '' : `AND hex(substr(key, 18)) = '${id.toUpperCase()}'`;
  const where = `hex(substr(key, 17, 1)) = ? AND erasure IS NULL AND hex(substr(key, 1, 16)) = ?
    ${its}`;
  const byte = hex(rowKinds[kind], 2);
  const app = of.toUpperCase();
  const found = database
    .prepare(`SELECT key, wrapped FROM vault_rows WHERE ${where} LIMIT 1`)
    .get(byte, app) as { key: Uint8Array; wrapped: Uint8Array } | undefined;
  if (found === undefined) throw new Error(`no row of kind ${kind}`);
  found.wrapped[20]! ^= 1;
  database.prepare('UPDATE vault_rows SET wrapped = ? WHERE key = ?').run(found.wrapped, found.key);
  database.close();
}

const DAYS = { fromDay: 0, toDay: 60_000 };
const hex = (value: number, digits: number) =>
  value.toString(16).padStart(digits, '0').toUpperCase();

/** Two tenants; somebody of each was erased. */
async function openTenants() {
  const store = await openTestStore();
  const names = ['ann', 'ben', 'cem', 'dan'];
  await store.deliver(
    ...names.flatMap((name) => [
      received(name, `of ${name}`, { id: name }),
      received(name, `alone ${name}`, { id: `${name}-2`, conversation: PERSONAL }),
    ]),
  );
  const other = await createApp(store.backends.administration(), { name: 'other', buckets: 16 });
  const erased = await createPrivacy(store.backends.privacy()).eraseSubject(
    store.app.id,
    await subjectOf(store, 'ann'),
  );
  if (erased.status !== 'done') throw new Error(erased.status);
  return { store, other, erasure: erased.erasure };
}

/** Doctor does not pass, and names the app. */
async function expectNamed(store: TestStore, app: string): Promise<void> {
  const checks = await runDoctor(store, () => undefined);
  const vault = checks.find(({ name }) => name === 'vault')!;
  expect(vault.passed).toBe(false);
  expect(vault.detail).toContain(`app ${app}`);
}

async function loseData(store: TestStore): Promise<void> {
  await store.ingest.close();
  await store.backends.close();
  renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
}

describe('S50 a row of the vault in which one bit has flipped', () => {
  it.each<Kind>([
    'alias',
    'identity',
    'subject',
    'conversation',
    'ownerRing',
    'placeRing',
    'externalConversation',
    'member',
    'bucketKey',
  ])(
    'is named, and stops neither T1 nor the backup nor the restore of others: %s',
    async (kind) => {
      const { store, erasure } = await openTenants();
      const group = await groupOf(store);
      const before = await textsOf(store, group);
      damage(store, kind);
      const again = await store.reopen();
      const { turn, backup } = await turnEpoch(again);
      expect(turn).toMatchObject({ step: 'done', failedApps: [] });
      expect(turn.damaged!.every((row) => row.app === store.app.id)).toBe(true);
      await settleEpoch(again);
      const afterlife = await again.backends.privacy().requests.afterlife(erasure);
      expect(afterlife!.t1AtMs).not.toBeNull();
      await expectNamed(again, store.app.id);
      await loseData(again);
      const restored = await restore(store.configuration, backup!, {
        isNewerRemoved: false,
        erasuresHead: 'any',
        onProgress: () => undefined,
      });
      expect(restored.damaged.length).toBeGreaterThan(0);
      const back = await openAt(store.folder, {}, store.app.id);
      onTestFinished(() => back.backends.close());
      expect(before).toEqual([null, 'of ben', 'of cem', 'of dan']);
      const readable: string[] = [];
      for (const name of ['ben', 'cem', 'dan']) {
        const read = async () => textsOf(back, await defaultConversationOf(back, name));
        const texts = await read().catch(() => []);
        if (texts[0] === `alone ${name}`) readable.push(name);
      }
      // A bucket's key takes all that lies in its bucket, which may be the ring of the app.
      if (kind !== 'bucketKey') expect(readable.length).toBeGreaterThanOrEqual(2);
    },
  );

  it.each<Kind>(['appRoot', 'appRing', 'ownerRing', 'indexKey'])(
    'of a backup, where one tenant erased somebody later, keeps no turn of others from its end: %s',
    async (kind) => {
      const { store, other } = await openTenants();
      const { folder: backup } = await makeBackup(store, join(store.folder, 'mine'), Date.now());
      const privacy = createPrivacy(store.backends.privacy());
      await privacy.eraseSubject(store.app.id, await subjectOf(store, 'ben'));
      // Of somebody who is still there: what is taken once more leaves nothing damaged.
      const id = kind === 'ownerRing' ? await subjectOf(store, 'cem') : undefined;
      damageIn(join(backup, 'vault.db'), { kind, of: store.app.id, id });
      await loseData(store);
      // A restore is refused where what was taken since opens still; else it names what is damaged.
      const restoring = restore(store.configuration, backup, quietRestore);
      if ((await restoring.catch(({ code }) => code)) === 'VAULT_TAMPERED') return;
      const back = await openAt(store.folder, {}, other.id);
      await back.deliver(received('eva', 'of eva', { conversation: PERSONAL }));
      const eva = await subjectOf(back, 'eva');
      const erased = await createPrivacy(back.backends.privacy()).eraseSubject(other.id, eva);
      if (erased.status !== 'done') throw new Error(erased.status);
      const { turn } = await turnEpoch(back);
      expect(turn.step).toBe('done');
      expect(turn.failedApps).not.toContain(other.id);
      await expectNamed(back, store.app.id);
    },
  );

  it.each<Kind>(['appRoot', 'appRecord', 'indexKey', 'appRing', 'ledgerKey'])(
    'that all of one tenant needs stops nothing of another: %s',
    async (kind) => {
      const { store, other } = await openTenants();
      const ben = await subjectOf(store, 'ben');
      await createPrivacy(store.backends.privacy()).hold(store.app.id, ben);
      const powers = store.backends.administration();
      const its = { app: store.app.id, scope: 'app', nowMs: Date.now() } as const;
      await revokeKey(powers, (await powers.accessKeys.create(its)).id);
      await store.ingest.close();
      await store.backends.close();
      const theirs = await openAt(store.folder, {}, other.id);
      await theirs.deliver(
        ...['eva', 'fay'].map((name) => received(name, `of ${name}`, { conversation: PERSONAL })),
      );
      const subject = await subjectOf(theirs, 'eva');
      const fays = await defaultConversationOf(theirs, 'fay');
      damage(store, kind);
      const again = await theirs.reopen();
      const erased = await createPrivacy(again.backends.privacy()).eraseSubject(other.id, subject);
      if (erased.status !== 'done') throw new Error(erased.status);
      expect((await enforceErasures(again.backends.privacy(), () => undefined)).found).toBe(0);
      const { turn, backup } = await turnEpoch(again);
      expect(turn.step).toBe('done');
      expect(turn.failedApps).not.toContain(other.id);
      await settleEpoch(again);
      const afterlife = await again.backends.privacy().requests.afterlife(erased.erasure);
      expect(afterlife!.t1AtMs).not.toBeNull();
      await expectNamed(again, store.app.id);
      await loseData(again);
      await restore(store.configuration, backup!, {
        isNewerRemoved: false,
        erasuresHead: 'any',
        onProgress: () => undefined,
      });
      const back = await openAt(store.folder, {}, other.id);
      expect(await textsOf(back, fays)).toEqual(['of fay']);
      await expect(subjectOf(back, 'eva')).rejects.toThrow('nobody');
    },
  );

  it.each(['the key of a day', 'a delivery', 'the ring of who delivered'])(
    'keeps nothing in the delivery ledger beyond twice its time: %s',
    async (what) => {
      let nowMs = Date.now();
      const store = await openTestStore({ clock: { nowMs: () => nowMs } });
      await store.deliver(received('ann', 'hers', { id: 'a' }), received('ben', 'his'));
      const other = await createApp(store.backends.administration(), { name: 'other' });
      const theirs = await openAt(store.folder, { clock: { nowMs: () => nowMs } }, other.id);
      await theirs.deliver(received('cem', 'his', { id: 'c' }));
      if (what === 'a delivery') {
        const database = new DatabaseSync(fileOf(store.configuration.state));
        const { changes } = database
          .prepare('UPDATE deliveries SET wrapped = zeroblob(60) WHERE hex(substr(key, 1, 16)) = ?')
          .run(store.app.id.toUpperCase());
        expect(Number(changes)).toBe(2);
        database.close();
      } else {
        damage(store, what === 'the key of a day' ? 'ledgerKey' : 'ownerRing');
      }
      const again = await theirs.reopen();
      let removed = 0;
      for (let sweeps = 0; sweeps < 2; sweeps += 1) {
        nowMs += 35 * 86_400_000;
        removed += await again.ingest.sweep();
      }
      expect(removed).toBe(3);
    },
  );

  it.each<[string, Kind, number]>([
    ['where the list of erasures stands', 'listHead', 0],
    ['the key of the lists that decide', 'accessKey', 1],
    ['the spare of that key', 'accessKey', 3],
    ['the key of the feed', 'accessKey', 2],
  ])('of the store itself stops neither turns nor erasures: %s', async (_, kind, id) => {
    const { store, erasure } = await openTenants();
    damage(store, kind, NO_ID, id);
    // In a process of its own, as nobody has the key any more. A lost roster is waited out by
    // clocks that run ten times faster.
    await store.ingest.close();
    await store.backends.close();
    const fastMs = () => performance.now() * 10;
    const holderClocks = { monotonicMs: fastMs, wallMs: fastMs };
    const again = await openAt(store.folder, { holderClocks }, store.app.id);
    for (const name of ['ben', 'cem']) {
      const { turn } = await turnEpoch(again);
      expect(turn).toMatchObject({ step: 'done', failedApps: [] });
      const subject = await subjectOf(again, name);
      const erased = await createPrivacy(again.backends.privacy()).eraseSubject(
        again.app.id,
        subject,
      );
      expect(erased.status).toBe('done');
    }
    const { damaged } = (await turnEpoch(again)).turn;
    expect(damaged!.every(({ app }) => app === NO_ID)).toBe(true);
    expect(await again.backends.privacy().erasures.read()).toHaveLength(6);
    const afterlife = await again.backends.privacy().requests.afterlife(erasure);
    expect(afterlife!.t1AtMs).not.toBeNull();
  });

  it.each([1, 2, 3])(
    'in the version of key %i of the store: turns go on, and their backups restore',
    async (id) => {
      const { store } = await openTenants();
      const { backup: before } = await turnEpoch(store);
      await store.ingest.close();
      await store.backends.close();
      const database = new DatabaseSync(fileOf(store.configuration.vault));
      const key = NO_ID + hex(rowKinds.accessKey, 2) + id.toString(16).padStart(32, '0');
      const flip = 'UPDATE vault_rows SET version = 0 WHERE hex(key) = ?';
      expect(database.prepare(flip).run(key.toUpperCase()).changes).toBe(1);
      database.close();
      const fastMs = () => performance.now() * 10;
      const holderClocks = { monotonicMs: fastMs, wallMs: fastMs };
      const again = await openAt(store.folder, { holderClocks }, store.app.id);
      const { turn, backup } = await turnEpoch(again);
      expect(turn).toMatchObject({ step: 'done', failedApps: [] });
      expect(backup).not.toBe(before);
      await loseData(again);
      await restore(store.configuration, backup!, quietRestore);
      const back = await openAt(store.folder, {}, store.app.id);
      expect(await textsOf(back, await groupOf(back))).toEqual([
        null,
        'of ben',
        'of cem',
        'of dan',
      ]);
      const checks = await runDoctor(back, () => undefined);
      expect(checks.filter(({ passed }) => !passed)).toEqual([]);
    },
  );

  it.each<[string, Kind, (privacy: Privacy, store: TestStore) => Promise<unknown>]>([
    [
      'a message was forgotten in it',
      'placeRing',
      async (privacy, store) => {
        const conversation = await defaultConversationOf(store, 'ben');
        const [first] = await messagesOf(store, conversation);
        return privacy.forgetMessage(store.app.id, conversation, first!.id as MessageId);
      },
    ],
    [
      'days of its person were forgotten',
      'ownerRing',
      async (privacy, store) =>
        privacy.forgetDays(store.app.id, { ...DAYS, subject: await subjectOf(store, 'ben') }),
    ],
    [
      'days of its app were forgotten',
      'appRing',
      (privacy, store) => privacy.forgetDays(store.app.id, { fromDay: 0, toDay: 10 }),
    ],
  ])('of a backup stops no restore, also where %s since', async (_, kind, forget) => {
    const { store } = await openTenants();
    const dan = await defaultConversationOf(store, 'dan');
    const ben = await defaultConversationOf(store, 'ben');
    const privacy = createPrivacy(store.backends.privacy());
    const { id: place } = await placeRingOf(store, ben);
    const { folder } = await makeBackup(store, join(store.folder, 'older'), Date.now());
    await forget(privacy, store);
    await privacy.eraseSubject(store.app.id, await subjectOf(store, 'cem'));
    const ids = { placeRing: place, ownerRing: await subjectOf(store, 'ben'), appRing: undefined };
    const vault = join(folder, 'vault.db');
    damageIn(vault, { kind, of: store.app.id, id: ids[kind as keyof typeof ids] });
    await loseData(store);
    const how = { isNewerRemoved: false, erasuresHead: 'any' as const };
    const restored = await restore(store.configuration, folder, {
      ...how,
      onProgress: () => undefined,
    });
    expect(restored).toMatchObject({ applied: 2, damaged: [{ kind: rowKinds[kind] }] });
    const back = await openAt(store.folder, {}, store.app.id);
    onTestFinished(() => back.backends.close());
    if (kind !== 'appRing') expect(await textsOf(back, dan)).toEqual(['alone dan']);
    const own = await textsOf(back, ben).catch(({ code }: { code: string }) => [code]);
    expect(own).not.toContain('alone ben');
    // Without the ring of the app nothing of it can be told on the log: that stays to be done.
    if (kind === 'appRing') expect(restored.left.join()).toContain('does not authenticate');
    else await expect(subjectOf(back, 'cem')).rejects.toThrow('nobody');
  });

  it('does not leave parts of a backup that could not be made, or that somebody left', async () => {
    const { store } = await openTenants();
    const { backupsFolder } = store.configuration;
    const left = join(backupsFolder, '2020-01-01T00-00-00-000Z.partial');
    mkdirSync(left, { recursive: true });
    utimesSync(left, 0, 0);
    // A turn that begins while the copy is made leaves it between two keys.
    const { epoch } = store.backends;
    let looks = 0;
    Object.assign(store.backends, {
      epoch: () => ({
        ...epoch(),
        async status() {
          looks += 1;
          const status = await epoch().status();
          return looks > 1 ? { ...status, kmsKey: 'another' } : status;
        },
      }),
    });
    const making = makeBackup(store, backupsFolder, Date.now());
    await expect(making).rejects.toMatchObject({ code: 'CONTENDED' });
    expect(readdirSync(backupsFolder)).toEqual([]);
  });
});
