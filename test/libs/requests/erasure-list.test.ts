import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LossId, RequestId } from '../../../libs/base/ids.ts';
import {
  headToText,
  type ListedErasure,
  standing,
  textToHead,
} from '../../../libs/requests/erasure-list.ts';
import { makeBackup } from '../../../services/operations/backup.ts';
import { type RestoreOptions, restore } from '../../../services/operations/restore.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { received } from '../../support/events.ts';
import { groupOf, subjectOf, textsOf } from '../../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../../support/temporary-store.ts';

const NAMES = ['ann', 'ben', 'cem'];

/** A backup of three people, and two of them erased after it; the data is lost. */
async function openLost() {
  const store = await openTestStore();
  await store.deliver(...NAMES.map((name) => received(name, `of ${name}`, { id: name })));
  const backups = join(store.folder, 'mine');
  const { folder } = await makeBackup(store, backups, Date.now());
  const group = await groupOf(store);
  for (const name of ['ann', 'ben']) await erase(store, name);
  const head = await store.backends.privacy().erasures.head();
  await store.ingest.close();
  await store.backends.close();
  renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
  const list = store.configuration.erasuresFolder;
  const fileOf = (number: number) => join(list, readdirSync(list).toSorted()[number - 1]!);
  const back = (erasuresHead: RestoreOptions['erasuresHead'] = 'any') =>
    restore(store.configuration, backups, {
      isNewerRemoved: false,
      erasuresHead,
      onProgress: () => undefined,
    });
  return { store, head, list, fileOf, back, backup: folder, group };
}

async function erase(store: TestStore, name: string): Promise<void> {
  const privacy = createPrivacy(store.backends.privacy());
  await privacy.eraseSubject(store.app.id, await subjectOf(store, name));
}

const tampered = { code: 'ERASURES_TAMPERED' };

describe('S51 a restore, with a list of erasures that somebody without keys has edited', () => {
  it('erases again what an unchanged list says, and nobody else', async () => {
    const { store, back, head, group } = await openLost();
    expect((await back(head)).applied).toBe(2);
    const again = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(again, group)).toEqual([null, null, 'of cem']);
  });

  it.each([
    ['a changed byte', (text: string) => text.replace('erase-subject', 'erase-subjecu')],
    ['another number', (text: string) => text.replace('"number":1', '"number":2')],
    ['a withdrawal in its place', (text: string) => text.replace('erase-subject', 'withdrawn')],
    ['an erasure of the whole app', (text: string) => text.replace('erase-subject', 'erase-app')],
    ['half of it', (text: string) => text.slice(0, text.length / 2)],
    ['nothing', () => ''],
  ])('is refused by name: an entry is %s', async (_, edit) => {
    const { fileOf, back } = await openLost();
    writeFileSync(fileOf(1), edit(readFileSync(fileOf(1), 'utf8')));
    await expect(back()).rejects.toMatchObject(tampered);
    await expect(back()).rejects.toThrow('entry 1');
  });

  it('is refused by name: one is missing, moved, doubled, or appended', async () => {
    const { list, fileOf, back } = await openLost();
    const [first, second] = [readFileSync(fileOf(1), 'utf8'), readFileSync(fileOf(2), 'utf8')];
    // Of each erasure there are two: that it began, and that it has taken.
    const next = join(list, `${'5'.padStart(12, '0')}.json`);
    const withdrawn = { ...JSON.parse(second), number: 5, entry: { kind: 'withdrawn' } };
    for (const text of [first, second, JSON.stringify(withdrawn)]) {
      writeFileSync(next, text);
      await expect(back()).rejects.toMatchObject(tampered);
    }
    rmSync(next);
    writeFileSync(fileOf(1), second);
    await expect(back()).rejects.toMatchObject(tampered);
    rmSync(fileOf(1));
    await expect(back()).rejects.toMatchObject(tampered);
  });

  it('is refused when it ends before the head that an operator has kept', async () => {
    const { head, fileOf, back } = await openLost();
    const kept = textToHead(headToText(head))!;
    expect(kept).toEqual(head);
    rmSync(fileOf(4));
    await expect(back(kept)).rejects.toThrow('ends before entry 4');
  });

  it('trusts no number that lies beside the copy of the vault', async () => {
    const { store, backup, back, group } = await openLost();
    const file = join(backup, 'backup.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...manifest, erasures: 2, erasuresHead: '2-00' }));
    expect((await back()).applied).toBe(2);
    const again = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(again, group)).toEqual([null, null, 'of cem']);
  });
});

describe('the list of erasures', () => {
  const entry = (store: TestStore, n: number): ListedErasure => {
    const id = n.toString(16).padStart(32, '0') as RequestId;
    const loss = id as string as LossId;
    return { id, loss, app: store.app.id, kind: 'erase-app', target: {}, atMs: n };
  };

  it('has what was refused stand no more, also when a suspended process lists it after that', () => {
    const app = 'aa'.repeat(16) as never;
    const [id, other] = ['01'.repeat(16) as RequestId, '02'.repeat(16) as RequestId];
    const of = (one: RequestId) =>
      ({
        id: one,
        loss: one,
        app,
        kind: 'erase-app',
        target: {},
        atMs: 1,
      }) as never as ListedErasure;
    const refused = (one: RequestId): ListedErasure => {
      return { id: one, app, kind: 'withdrawn', target: {}, atMs: 2 };
    };
    const requests = [other];
    const taken: ListedErasure = { id: other, app, kind: 'taken', target: { requests }, atMs: 3 };
    expect(standing([of(id), refused(id), of(id)])).toEqual([]);
    expect(standing([of(other), refused(other), of(other), { ...taken, id }])).toEqual([of(other)]);
    const hold = 'bb'.repeat(16) as never;
    const held = { ...refused(id), kind: 'hold', target: { subject: hold, hold } } as ListedErasure;
    expect(standing([held, refused(id), held])).toEqual([held]);
  });

  it('is one chain, whoever of several processes appends at once', async () => {
    const store = await openTestStore();
    const other = await openAt(store.folder, {}, store.app.id);
    onTestFinished(() => other.backends.close());
    const lists = [store, other].map(({ backends }) => backends.privacy().erasures);
    const adding = Array.from({ length: 20 }, (_, n) => lists[n % 2]!.add([entry(store, n)]));
    await Promise.all(adding);
    const read = await lists[0]!.read();
    expect(read.map(({ atMs }) => atMs).toSorted((a, b) => a - b)).toEqual([...Array(20).keys()]);
    expect((await lists[1]!.head()).number).toBe(20);
  });

  it('goes on after an entry that a crash has cut off, which was never acknowledged', async () => {
    const store = await openTestStore();
    const { erasures } = store.backends.privacy();
    await erasures.add([entry(store, 1), entry(store, 2)]);
    const torn = join(store.configuration.erasuresFolder, `${'3'.padStart(12, '0')}.json`);
    writeFileSync(torn, '{"number":3,"prev');
    expect((await erasures.head()).number).toBe(2);
    await erasures.add([entry(store, 3)]);
    expect((await erasures.read()).map(({ atMs }) => atMs)).toEqual([1, 2, 3]);
  });

  it('is refused where it has fewer entries than this store has written', async () => {
    const store = await openTestStore();
    const { erasures } = store.backends.privacy();
    await erasures.add([entry(store, 1), entry(store, 2)]);
    rmSync(join(store.configuration.erasuresFolder, `${'2'.padStart(12, '0')}.json`));
    await expect(erasures.add([entry(store, 3)])).rejects.toThrow('not the list of this store');
  });
});
