import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { attackStore } from '../../services/operations/attack-store.ts';
import { filesBelow, formsOf, searchFiles } from '../../services/operations/disk-search.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, profile, reacted, received } from '../support/events.ts';
import { subjectOf } from '../support/reading.ts';
import { openTestStore, temporaryFolder } from '../support/temporary-store.ts';

const PLANTED = [
  'the falcon nests behind the third chimney',
  'Sélène Quartz-Nightingale',
  '+49-30-5550-1234-77',
  'selene.quartz@example.org',
  'room-of-the-planted-name',
  '密かな合言葉は蓮の花です',
];

describe('a search of every file', () => {
  it('goes on when a file is removed while it searches, and fails on one that it may not read', () => {
    const folder = temporaryFolder();
    const file = join(folder, 'there');
    writeFileSync(file, 'a falcon');
    const files = [join(folder, 'gone'), file];
    expect(searchFiles(files, ['falcon'])).toContainEqual({ file, form: 'utf-8' });
    expect(filesBelow(join(folder, 'no folder'))).toEqual([]);
    expect(() => searchFiles([folder], ['falcon'])).toThrow(/EISDIR/);
  });

  it('finds a planted text in every form it looks for', () => {
    const folder = temporaryFolder();
    for (const text of PLANTED) {
      for (const [form, bytes] of formsOf(text)) {
        const file = join(folder, 'leak');
        writeFileSync(file, Buffer.concat([Buffer.alloc(11), bytes, Buffer.alloc(5)]));
        expect(searchFiles([file], [text]).map((hit) => hit.form)).toContain(form);
      }
      const packed = join(folder, 'leak.gz');
      writeFileSync(packed, gzipSync(`before ${text} after`));
      expect(searchFiles([packed], [text]).map((hit) => hit.form)).toContain('utf-8');
      for (const shift of [0, 1, 2]) {
        const file = join(folder, 'leak');
        const around = Buffer.concat([
          Buffer.alloc(shift, 65),
          Buffer.from(text),
          Buffer.from('zz'),
        ]);
        writeFileSync(file, around.toString('base64'));
        expect(searchFiles([file], [text]).length).toBeGreaterThan(0);
      }
    }
  });

  it('looks at what somebody has left beside the files and keys of a store', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'hello', { conversation: PERSONAL }));
    const places = ['data/notes.txt', 'data/lethe.db-copy', 'keys/notes.txt'].map((place) =>
      join(store.folder, place),
    );
    expect((await attackStore(store, [PLANTED[0]!])).passed).toBe(true);
    for (const place of places) writeFileSync(place, `a dump: ${PLANTED[0]}`);
    const { passed, hits } = await attackStore(store, [PLANTED[0]!]);
    expect(passed).toBe(false);
    const found = new Set(hits.map(({ file }) => file));
    expect([...found].toSorted()).toEqual(places.toSorted());
  });

  it('S39 finds no word in any file (promise: encrypt-at-rest, promise: metadata-protection)', async () => {
    const store = await openTestStore();
    const [words, name, phone, email, room, other] = PLANTED as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const conversation = { type: 'sdkGroup', externalId: room };
    await store.deliver(
      received(phone!, words, { displayName: name, conversation, id: 'a' }),
      received(phone!, other!, { conversation: PERSONAL }),
      profile(phone!, { email, givenName: name }),
      reacted(phone!, 'a', '🦅', { conversation }),
    );
    const search = () => searchFiles(filesBelow(store.folder), PLANTED);
    expect(filesBelow(store.folder).length).toBeGreaterThan(3);
    expect(search()).toEqual([]);
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.eraseSubject(store.app.id, await subjectOf(store, phone!));
    expect(search()).toEqual([]);
  });

  it('finds nothing of an erased person’s wrapped rings in today’s vault files', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'), received('ben', 'his'));
    const ann = await subjectOf(store, 'ann');
    const wrapped: Buffer[] = [];
    for (const kind of [12, 13, 24] as const) {
      for await (const row of store.backends.vaultStore().scan(kind)) {
        if (row.id === ann || kind === 13) wrapped.push(row.wrapped!);
      }
    }
    const files = filesBelow(store.folder);
    const { readFileSync } = await import('node:fs');
    const found = (bytes: Buffer) => files.some((file) => readFileSync(file).includes(bytes));
    const [hers] = wrapped;
    expect(found(hers!)).toBe(true);
    await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
    expect(found(hers!)).toBe(false);
  });
});
