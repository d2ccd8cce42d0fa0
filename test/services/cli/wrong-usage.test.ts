import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { received } from '../../support/events.ts';
import { lethe, startLethe } from '../../support/processes.ts';
import { groupOf, messagesOf } from '../../support/reading.ts';
import { openAt, temporaryFolder } from '../../support/temporary-store.ts';

const WRONG = 2;
const REFUSED = 3;
const NOT_FOUND = 5;

/** A store made by the commands, with one message in it. */
async function madeStore() {
  const folder = temporaryFolder();
  const app = (await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16'])).json.app.id;
  const file = join(folder, 'lines.jsonl');
  writeFileSync(file, JSON.stringify(received('ann', 'words', { id: '1' })));
  expect((await lethe(folder, ['ingest', file, '--app', 'demo'])).json.accepted).toBe(1);
  const store = await openAt(folder, {}, app);
  const [message] = await messagesOf(store, await groupOf(store));
  await store.backends.close();
  return { folder, file, message: message!.id };
}

describe('wrong usage', () => {
  it('of a folder that nobody can make is told with its name', async () => {
    const file = 'sqlite:/proc/nowhere/lethe.db';
    const made = await lethe(temporaryFolder(), ['apps', 'create', 'demo'], {
      LETHE_LOG: file,
      LETHE_STATE: file,
    });
    expect(made.code).not.toBe(0);
    expect(made.err).toContain('/proc/nowhere/lethe.db: this user may not');
  });

  it('is told before anything is done: scopes, places of backups, reports, salts', async () => {
    const { folder, file } = await madeStore();
    const run = async (...args: string[]) => {
      const { code, err } = await lethe(folder, args);
      return { code, err };
    };
    const wrong = [
      await run('keys', 'create', '--scope', 'account', '--app', 'demo'),
      await run('backup', join(folder, 'keys/backups')),
      await run('backup', join(folder, 'data/backups')),
      await run('backup', join(file, 'backups')),
      await run('ingest', file, '--app', 'demo', '--report', join(folder, 'nowhere/report')),
    ];
    expect(wrong.map((one) => one.code)).toEqual(wrong.map(() => WRONG));
    expect(wrong.map((one) => one.err).join()).not.toContain('unexpected');
    expect(wrong.at(-1)!.err).toContain('--report');
  });

  it('of days is told: those of everybody need --yes, and none may be forgotten before it comes', async () => {
    const { folder } = await madeStore();
    const forget = (...more: string[]) =>
      lethe(folder, ['forget', 'days', '--app', 'demo', '--from', '2025-03-01', ...more]);
    const unasked = await forget('--to', '2025-03-02');
    expect([unasked.code, unasked.err]).toEqual([WRONG, expect.stringContaining('add --yes')]);
    const late = await forget('--to', '2100-01-01', '--yes');
    expect([late.code, late.err]).toEqual([WRONG, expect.stringContaining('has not come')]);
    const preview = await forget('--to', '2025-03-02', '--preview');
    expect(preview.json).toMatchObject({ preview: { messages: 1 } });
    expect(await forget('--to', '2025-03-02', '--yes')).toMatchObject({ code: 0 });
    expect((await forget('--to', '2025-03-02', '--preview')).json).toMatchObject({
      preview: { messages: 0 },
    });
  });

  it('of an attack is told: a text that is too short is named by its line, as not tried', async () => {
    const { folder } = await madeStore();
    const texts = join(folder, 'texts');
    writeFileSync(texts, 'words\n\nann\n');
    const { json } = await lethe(folder, ['attack', texts]);
    expect(json.tried.texts).toBe(1);
    expect(json.notTried).toContain('the text of line 3: it has fewer than four characters');
    expect(JSON.stringify(json)).not.toContain('ann');
  });

  it('of a search is told: standard input without an identity finds nobody', async () => {
    const { folder } = await madeStore();
    const finding = startLethe(folder, ['find', 'chat', '-', '--app', 'demo']);
    finding.child.stdin!.end('\n');
    const { code, err } = await finding.ended;
    expect([code, err]).toEqual([WRONG, expect.stringContaining('had no identity')]);
  });

  it('is told as JSON where that is asked for, with a code for each kind of end', async () => {
    const folder = temporaryFolder();
    const told = async (...args: string[]) => JSON.parse((await lethe(folder, args)).err).error;
    expect(await told('verify', 'file')).toEqual({
      code: 'USAGE',
      title: "required option '--key <file>' not specified",
    });
    expect(await told('nothing')).toMatchObject({ code: 'USAGE' });
    await lethe(folder, ['apps', 'create', 'demo']);
    const gone = ['forget', 'message', 'a'.repeat(32), '--app', 'demo'];
    expect(await told(...gone)).toMatchObject({ code: 'NOT_FOUND' });
  });

  it('of a preview is answered as the real command would be', async () => {
    const { folder, message } = await madeStore();
    const forget = (id: string, ...more: string[]) => {
      return lethe(folder, ['forget', 'message', id, '--app', 'demo', ...more]);
    };
    expect((await forget('a'.repeat(32), '--preview')).code).toBe(NOT_FOUND);
    expect((await forget('a'.repeat(32))).code).toBe(NOT_FOUND);
    expect((await forget(message, '--preview')).json.preview.messages).toBe(1);
    const whole = await lethe(folder, ['erase', 'app', 'demo', '--preview']);
    expect(whole.json.preview).toMatchObject({ messages: 1, people: 1, conversations: 1 });
    const asked = await lethe(folder, ['erase', 'app', 'demo']);
    expect([asked.code, asked.err.includes('add --yes')]).toEqual([2, true]);
    expect((await lethe(folder, ['erase', 'app', 'demo', '--yes'])).code).toBe(0);
  });

  it('of an attachment’s id is told, and takes no message', async () => {
    const { folder, message } = await madeStore();
    const forget = (id: string, of: string) => {
      return lethe(folder, ['forget', 'attachment', id, '--message', of, '--app', 'demo']);
    };
    expect((await forget('b'.repeat(32), message)).json).toMatchObject({ namedByMessage: false });
    expect((await forget(message, message)).code).toBe(REFUSED);
    expect((await forget('b'.repeat(32), 'a'.repeat(32))).code).toBe(NOT_FOUND);
  });

  it('of a backup with another key folder does not say that the backup is worth nothing', async () => {
    const { folder } = await madeStore();
    const { json } = await lethe(folder, ['backup', join(folder, 'kept')]);
    const elsewhere = join(folder, 'other');
    mkdirSync(elsewhere);
    const restore = await lethe(elsewhere, ['restore', json.backup, '--erasures-may-end-early']);
    expect(restore.code).toBe(REFUSED);
    expect(restore.err).toContain('or this is another key folder');
  });
});
