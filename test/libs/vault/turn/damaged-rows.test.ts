import { mkdirSync, readdirSync, renameSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { NO_ID } from '../../../../libs/base/ids.ts';
import { fileOf } from '../../../../libs/configuration/configuration.ts';
import { rowKinds } from '../../../../libs/vault/rows/vault-store.ts';
import { makeBackup } from '../../../../services/operations/backup.ts';
import { createApp } from '../../../../services/operations/create-app.ts';
import { runDoctor } from '../../../../services/operations/doctor.ts';
import { restore } from '../../../../services/operations/restore.ts';
import { settleEpoch, turnEpoch } from '../../../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../../../support/events.ts';
import { defaultConversationOf, groupOf, subjectOf, textsOf } from '../../../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../../../support/temporary-store.ts';

type Kind = keyof typeof rowKinds;

/** Flips one bit of the first living row of a kind, as a disk does. */
function damage(store: TestStore, kind: Kind, of: string = store.app.id, id?: number): void {
  const database = new DatabaseSync(fileOf(store.configuration.vault));
  const its = id === undefined ? '' : `AND hex(substr(key, 18)) = '${hex(id, 32)}'`;
  const where = `hex(substr(key, 17, 1)) = ? AND erasure IS NULL AND hex(substr(key, 1, 16)) = ?
    ${its}`;
  const byte = hex(rowKinds[kind], 2);
  const app = of.toUpperCase();
  const row = database
    .prepare(`SELECT key, wrapped FROM vault_rows WHERE ${where} LIMIT 1`)
    .get(byte, app) as { key: Uint8Array; wrapped: Uint8Array } | undefined;
  if (row === undefined) throw new Error(`no row of kind ${kind}`);
  row.wrapped[20]! ^= 1;
  database.prepare('UPDATE vault_rows SET wrapped = ? WHERE key = ?').run(row.wrapped, row.key);
  database.close();
}

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
      const checks = await runDoctor(again, () => undefined);
      const vault = checks.find(({ name }) => name === 'vault')!;
      expect(vault.passed).toBe(false);
      expect(vault.detail).toContain(`app ${store.app.id}`);
      await again.ingest.close();
      await again.backends.close();
      renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
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
    expect(await again.backends.privacy().erasures.read()).toHaveLength(3);
    const afterlife = await again.backends.privacy().requests.afterlife(erasure);
    expect(afterlife!.t1AtMs).not.toBeNull();
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
