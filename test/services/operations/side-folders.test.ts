import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PERSONAL, received } from '../../support/events.ts';
import { type Running, startScript } from '../../support/processes.ts';
import { temporaryFolder } from '../../support/temporary-store.ts';

const PROGRAM = join(import.meta.dirname, '../../../services/cli/main.ts');
const WRONG_USAGE = 2;

/** Runs `lethe` in a folder with these variables and nothing else of Lethe. */
async function run(folder: string, variables: Record<string, string>, ...args: string[]) {
  const ended = await startIn(folder, variables, args).ended;
  const last = ended.out.trim().split('\n').at(-1) ?? '';
  return { ...ended, json: last.startsWith('{') ? JSON.parse(last) : undefined };
}

function startIn(folder: string, variables: Record<string, string>, args: string[]): Running {
  const env = { PATH: process.env.PATH, LETHE_LOG_LEVEL: 'silent', ...variables };
  return startScript(PROGRAM, [...args, '--json'], env, folder);
}

/** A store in a folder, with default settings; commands on it, from there or elsewhere. */
async function openHome(people: readonly string[]) {
  const root = temporaryFolder();
  const home = join(root, 'home');
  mkdirSync(home);
  expect((await run(home, {}, 'apps', 'create', 'main')).code).toBe(0);
  const events = people.map((name) => received(name, `of ${name}`, { conversation: PERSONAL }));
  const ingest = startIn(home, {}, ['ingest', '-', '--app', 'main']);
  ingest.child.stdin!.end(events.map((event) => JSON.stringify(event)).join('\n'));
  expect((await ingest.ended).code).toBe(0);
  const find = async (name: string) => {
    return (await run(home, {}, 'find', 'chat', name, '--app', 'main')).json?.subjectId as string;
  };
  return { root, home, find };
}

/** The store in `home`, named in full from elsewhere. */
function inFull(home: string): Record<string, string> {
  return {
    LETHE_LOG: `sqlite:${home}/data/lethe.db`,
    LETHE_STATE: `sqlite:${home}/data/lethe.db`,
    LETHE_VIEWS: `sqlite:${home}/data/views.db`,
    LETHE_VAULT: `sqlite:${home}/data/vault.db`,
    LETHE_KMS: `local:${home}/keys`,
  };
}

describe('S58 commands from another folder', () => {
  it('find the list of erasures and the certificates beside the data: nobody comes back', async () => {
    const { root, home, find } = await openHome(['ann', 'ben']);
    const backup = await run(home, {}, 'backup', join(root, 'kept'));
    expect(backup.code, backup.err).toBe(0);
    const ann = await find('ann');
    const erased = await run(root, inFull(home), 'erase', 'subject', ann, '--app', 'main');
    expect(erased.code, erased.err).toBe(0);
    expect(readdirSync(root).toSorted()).toEqual(['home', 'kept']);
    expect(readdirSync(join(home, 'erasures')).length).toBe(2);
    expect(readdirSync(join(home, 'certificates')).length).toBeGreaterThan(1);
    renameSync(join(home, 'data'), join(root, 'lost'));
    const restored = await run(home, {}, 'restore', join(root, 'kept'), '--erasures-may-end-early');
    expect(restored.json, restored.err).toMatchObject({ applied: 1 });
    expect(await find('ann')).toBeUndefined();
    expect(await find('ben')).toBeTypeOf('string');
  });

  it('refuse to erase beside a list that is not of this store', async () => {
    const { root, home, find } = await openHome(['ann', 'ben']);
    const [ann, ben] = [await find('ann'), await find('ben')];
    expect((await run(home, {}, 'erase', 'subject', ann, '--app', 'main')).code).toBe(0);
    const elsewhere = { ...inFull(home), LETHE_ERASURES: join(root, 'other') };
    const refused = await run(root, elsewhere, 'erase', 'subject', ben, '--app', 'main');
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain('is not the list of this store');
    expect(await find('ben')).toBe(ben);
  });

  it.each([
    ['doctor'],
    ['find', 'chat', 'ann', '--app', 'main'],
    ['show', 'subject', 'x', '--app', 'main'],
    ['apps', 'list'],
    ['epoch', 'status'],
    ['epoch', 'turn'],
    ['erase', 'subject', 'x', '--app', 'main'],
    ['ingest', '-', '--app', 'main'],
    ['attack'],
    ['keys', 'create', '--app', 'main', '--scope', 'app'],
    ['rebuild'],
  ])('make no store where there is none, and say so: %s', async (...args) => {
    const empty = temporaryFolder();
    const ended = await run(empty, {}, ...args);
    expect(ended.code).toBe(WRONG_USAGE);
    expect(ended.err).toContain('there is no store here');
    expect(readdirSync(empty)).toEqual([]);
  });
});

describe('S57 a backup that is restored beside the running original, with the same keys', () => {
  it('is a store of its own: a turn there leaves the original alive, which can be restarted', async () => {
    const { root, home, find } = await openHome(['ann']);
    const serving = startIn(home, { LETHE_HTTP: '127.0.0.1:0' }, ['serve']);
    await serving.printed('listening');
    expect((await run(home, {}, 'backup', join(root, 'kept'))).code).toBe(0);
    const drill = join(root, 'drill');
    mkdirSync(join(drill, 'erasures'), { recursive: true });
    const variables = { LETHE_KMS: `local:${home}/keys` };
    const kept = join(root, 'kept');
    const restored = await run(drill, variables, 'restore', kept, '--erasures-may-end-early');
    expect(restored.code, restored.err).toBe(0);
    expect((await run(drill, variables, 'doctor')).json).toMatchObject({ passed: true });
    expect((await run(drill, variables, 'epoch', 'turn')).code).toBe(0);
    expect((await run(home, {}, 'doctor')).json).toMatchObject({ passed: true });
    serving.child.kill('SIGTERM');
    expect((await serving.ended).code).toBe(0);
    expect(await find('ann')).toBeTypeOf('string');
    expect((await run(home, {}, 'epoch', 'turn')).json).toMatchObject({ step: 'done' });
    expect(await find('ann')).toBeTypeOf('string');
  }, 120_000);

  it('readyz and doctor notice that the key at the root is not there', async () => {
    const { home } = await openHome(['ann']);
    const serving = startIn(home, { LETHE_HTTP: '127.0.0.1:0' }, ['serve']);
    const { listening } = JSON.parse((await serving.printed('\n')).trim());
    expect((await fetch(`${listening}/readyz`)).status).toBe(200);
    renameSync(join(home, 'keys'), join(home, 'keys-away'));
    const ready = await fetch(`${listening}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([
      503,
      expect.stringContaining('root_key_missing'),
    ]);
  });
});
