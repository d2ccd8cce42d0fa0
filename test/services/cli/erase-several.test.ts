import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { received } from '../../support/events.ts';
import { lethe, startLethe } from '../../support/processes.ts';
import { subjectOf } from '../../support/reading.ts';
import { openAt, temporaryFolder } from '../../support/temporary-store.ts';

const NAMES = ['ann', 'ben'];

describe('erasing several people at once', () => {
  it('prints for each the certificate and the salt that proves it to be theirs', async () => {
    const folder = temporaryFolder();
    await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16']);
    const file = join(folder, 'lines.jsonl');
    const lines = NAMES.map((name) => JSON.stringify(received(name, 'words', { id: name })));
    writeFileSync(file, lines.join('\n'));
    await lethe(folder, ['ingest', file, '--app', 'demo']);
    const users: string[] = [];
    for (const name of NAMES) {
      users.push((await lethe(folder, ['find', 'chat', name, '--app', 'demo'])).json.subjectId);
    }
    const { out } = await startLethe(folder, ['erase', 'subject', ...users, '--app', 'demo']).ended;
    for (const user of users) {
      const told = out.slice(out.indexOf(`${user}: erased`));
      const shownAs = (label: string) => told.split(label)[1]!.split('\n')[0]!.trim();
      const [certificate, key] = [shownAs('certificate:'), shownAs('verified with:')];
      const salt = shownAs('kept nowhere:');
      const given = [certificate, '--key', key, '--salt', salt, '--user', user];
      const verified = await startLethe(folder, ['verify', ...given]).ended;
      expect(verified.code, verified.err).toBe(0);
      expect(verified.out).toContain('it is about this person');
    }
    expect(out).toContain('2 people erased');
  });

  it('shows in one preview who they are, by every name, and what of each would go', async () => {
    const folder = temporaryFolder();
    const app = (await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16'])).json.app.id;
    const store = await openAt(folder, {}, app);
    await store.deliver(
      received('ann', 'words', { id: 'a', displayName: 'Ann' }),
      received('ann', 'more', { id: 'b' }),
      received('ben', 'his', { id: 'c' }),
    );
    await store.backends.close();
    const users: string[] = [];
    for (const name of NAMES) {
      users.push((await lethe(folder, ['find', 'chat', name, '--app', 'demo'])).json.subjectId);
    }
    const asked = ['erase', 'subject', ...users, '--app', 'demo', '--preview'];
    const { out, code } = await startLethe(folder, asked).ended;
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`${users[0]}: Ann, chat ann\n.*\n.*2 messages`));
    expect(out).toMatch(new RegExp(`${users[1]}: no name, chat ben\n.*\n.*1 messages`));
    const { out: lines } = await startLethe(folder, [...asked, '--json']).ended;
    const shown = lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(shown).toMatchObject([
      {
        subjectId: users[0],
        displayName: 'Ann',
        identities: [{ channel: 'chat', externalId: 'ann' }],
        preview: { messages: 2 },
      },
      { subjectId: users[1], displayName: null, preview: { messages: 1 } },
    ]);
    // Nothing was changed.
    expect((await lethe(folder, ['find', 'chat', 'ann', '--app', 'demo'])).code).toBe(0);
  });

  it('names whoever is under a legal hold, erases the others, and exits 3', async () => {
    const folder = temporaryFolder();
    const app = (await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16'])).json.app.id;
    const store = await openAt(folder, {}, app);
    await store.deliver(...NAMES.map((name) => received(name, 'words', { id: name })));
    const privacy = createPrivacy(store.backends.privacy());
    const [ann] = await Promise.all(NAMES.map((name) => subjectOf(store, name)));
    await privacy.hold(app, ann!);
    await store.backends.close();
    const users: string[] = [];
    for (const name of NAMES) {
      users.push((await lethe(folder, ['find', 'chat', name, '--app', 'demo'])).json.subjectId);
    }
    const ended = await startLethe(folder, ['erase', 'subject', ...users, '--app', 'demo']).ended;
    expect(ended.code).toBe(3);
    expect(ended.out).toContain(`${users[1]}: erased`);
    expect(ended.out).toContain('1 person erased');
    expect(ended.out).toMatch(new RegExp(`^${users[0]}: .*hold`, 'm'));
  });

  it('exits 5 where one of them is nobody, whoever was erased before', async () => {
    const folder = temporaryFolder();
    const app = (await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16'])).json.app.id;
    const store = await openAt(folder, {}, app);
    await store.deliver(received('ann', 'words', { id: 'a' }));
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).eraseSubject(app, ann);
    await store.backends.close();
    const nobody = '0'.repeat(31).concat('1');
    for (const ids of [
      [ann, nobody],
      [nobody, ann],
    ]) {
      const { code } = await startLethe(folder, ['erase', 'subject', ...ids, '--app', 'demo'])
        .ended;
      expect(code).toBe(5);
    }
  });
});
