import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { makeBackup } from '../../services/operations/backup.ts';
import { copyData, VAULT_COPY } from '../../services/operations/copy-data.ts';
import { restore } from '../../services/operations/restore.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { openDirectoryTable } from '../support/directory-table.ts';
import { PERSONAL, received } from '../support/events.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

const BUCKETS = 16;
const NAMES = ['ann', 'ben', 'cem', 'dan'] as const;
const ROOMS = ['room-1', 'room-2'] as const;

let count = 0;
const says = (name: string, room?: string) => {
  count += 1;
  const conversation = room === undefined ? PERSONAL : { type: 'sdkGroup', externalId: room };
  return received(name, `words of ${name}`, { id: `m${count}`, conversation });
};

async function erase(store: TestStore, name: string): Promise<void> {
  const subject = await subjectOf(store, name).catch(() => undefined);
  if (subject === undefined) return;
  const done = await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, subject);
  expect(done.status).toBe('done');
}

/** What may happen while a vault is copied. */
const HAPPENINGS = {
  'ann joins room 1': (store: TestStore) => store.deliver(says('ann', 'room-1')),
  'cem opens a conversation of his own': (store: TestStore) => store.deliver(says('cem')),
  'dan comes': (store: TestStore) => store.deliver(says('dan', 'room-1'), says('dan')),
  'ben is erased': (store: TestStore) => erase(store, 'ben'),
  'ann, the last in room 2, is erased': (store: TestStore) => erase(store, 'ann'),
  'ben writes': (store: TestStore) => store.deliver(says('ben', 'room-1'), says('ben')),
};
type Happening = keyof typeof HAPPENINGS;

/** A backup in which some buckets are as they were before, the others as they are now. */
async function mixCopies(store: TestStore, before: string, isLater: readonly boolean[]) {
  const after = join(store.folder, 'after');
  mkdirSync(after);
  await copyData(store, after);
  const database = new DatabaseSync(join(before, VAULT_COPY));
  database.exec(`ATTACH '${join(after, VAULT_COPY)}' AS later`);
  // An app's rings are copied before all buckets.
  const where = `bucket = ? AND hex(substr(key, 17, 1)) <> '0B'`;
  expect(rowKinds.appRing).toBe(0x0b);
  for (const [bucket, later] of isLater.entries()) {
    if (!later) continue;
    database.prepare(`DELETE FROM main.vault_rows WHERE ${where}`).run(bucket);
    const columns = `key, bucket, version, state, wrapping_key, own_key, holds, edges, wrapped,
      erasure, fingerprint, owed`;
    const insert = `INSERT INTO main.vault_rows (${columns})
      SELECT ${columns} FROM later.vault_rows WHERE ${where}`;
    database.prepare(insert).run(bucket);
  }
  database.exec('INSERT OR IGNORE INTO main.vault_dirty SELECT * FROM later.vault_dirty');
  database.close();
}

async function restoreFrom(store: TestStore, backups: string): Promise<TestStore> {
  await store.ingest.close();
  await store.backends.close();
  renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
  const settings = {
    isNewerRemoved: false,
    erasuresHead: 'any' as const,
    onProgress: () => undefined,
  };
  await restore(store.configuration, backups, settings);
  return openAt(store.folder, {}, store.app.id);
}

/** Every name leads to an entry, every entry is named, groups and their members know each other. */
async function expectOneDirectory(store: TestStore): Promise<void> {
  expect(await store.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  const { directory } = store.backends.reader();
  const vault = store.backends.vaultStore();
  await using table = await openDirectoryTable(store);
  for await (const { id } of vault.scan(rowKinds.identity, store.app.id)) {
    const [target] = await table.references(store.app.id, rowKinds.identity, [id as never]);
    const [entry] = await directory.subjects(store.app.id, [target as never]);
    expect(entry?.value.identities.map(({ row }) => row)).toContain(id);
    expect(await directory.findAlias(store.app.id, entry!.value.alias)).toBe(target);
  }
  for await (const { id } of vault.scan(rowKinds.subject, store.app.id)) {
    const [entry] = await directory.subjects(store.app.id, [id as never]);
    for (const group of await directory.conversations(store.app.id, entry!.value.groups)) {
      if (typeof group !== 'object') continue;
      const people = await Array.fromAsync(directory.members(store.app.id, group.id));
      expect(people).toContain(id);
    }
    for (const { row } of entry!.value.identities) {
      expect(await table.references(store.app.id, rowKinds.identity, [row])).toEqual([id]);
    }
  }
  for await (const { id } of vault.scan(rowKinds.conversation, store.app.id)) {
    const [group] = await directory.conversations(store.app.id, [id as never]);
    if (typeof group !== 'object' || group.value.kind !== 'sdkGroup') continue;
    for await (const person of directory.members(store.app.id, group.id)) {
      const [entry] = await directory.subjects(store.app.id, [person]);
      if (entry !== undefined) expect(entry.value.groups).toContain(id);
    }
  }
}

describe('a copy whose buckets are of different moments', () => {
  const happenings = fc.shuffledSubarray(Object.keys(HAPPENINGS) as Happening[], { minLength: 1 });
  const moments = fc.array(fc.boolean(), { minLength: BUCKETS, maxLength: BUCKETS });

  it('is one directory when restored: all are let in, the erased stay so, groups end with their last', async () => {
    await fc.assert(
      fc.asyncProperty(happenings, moments, async (happened, isLater) => {
        const store = await openTestStore();
        await store.deliver(says('ben', 'room-1'), says('cem', 'room-1'));
        await store.deliver(says('ann', 'room-2'), says('ann'));
        const backups = join(store.folder, 'mine');
        const backup = await makeBackup(store, backups, Date.now());
        for (const what of happened) await HAPPENINGS[what](store);
        await mixCopies(store, backup.folder, isLater);
        const back = await restoreFrom(store, backups);
        await expectOneDirectory(back);
        const erased = new Set<string>();
        if (happened.includes('ben is erased')) erased.add('ben');
        if (happened.includes('ann, the last in room 2, is erased')) erased.add('ann');
        const room = await groupOf(back, 'room-1');
        for (const text of await textsOf(back, room)) {
          if (text !== null) expect([...erased].some((name) => text.endsWith(name))).toBe(false);
        }
        const all = NAMES.flatMap((name) => [...ROOMS.map((one) => says(name, one)), says(name)]);
        for (const { status } of await back.deliver(...all)) expect(status).toBe('accepted');
        await expectOneDirectory(back);
        const groups = await Promise.all(ROOMS.map((one) => groupOf(back, one)));
        for (const name of NAMES.slice(1)) await erase(back, name);
        const texts = await textsOf(back, groups[0]!);
        expect(texts.filter((text) => text !== null)).toContain('words of ann');
        await erase(back, 'ann');
        const { directory } = back.backends.reader();
        expect(await directory.conversations(back.app.id, groups)).toEqual(['erased', 'erased']);
        await back.ingest.close();
      }),
      { numRuns: Number(process.env.LIVE_COPIES ?? 15) },
    );
  });
});

describe('a backup of a group that was about to end', () => {
  it('is restored, and the group ends', async () => {
    const store = await openTestStore();
    await store.deliver(says('ben', 'room-1'), says('cem', 'room-1'));
    const group = await groupOf(store, 'room-1');
    await erase(store, 'cem');
    const vault = store.backends.vaultStore();
    const { commit } = vault;
    vault.commit = async (batches) => {
      const done = await commit.call(vault, batches);
      const removals = batches.flatMap((batch) => batch.removals ?? []);
      if (removals.some(({ kind }) => kind === rowKinds.member)) throw new Error('it ends here');
      return done;
    };
    const subject = await subjectOf(store, 'ben');
    const privacy = createPrivacy(store.backends.privacy());
    await expect(privacy.eraseSubject(store.app.id, subject)).rejects.toThrow('ends here');
    vault.commit = commit;
    const backups = join(store.folder, 'mine');
    await makeBackup(store, backups, Date.now());
    const back = await restoreFrom(store, backups);
    const { directory } = back.backends.reader();
    expect(await directory.conversations(back.app.id, [group])).toEqual(['erased']);
    await expectOneDirectory(back);
    await back.ingest.close();
  });
});
