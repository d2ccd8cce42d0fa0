import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ConversationId, KeyId } from '../../../libs/base/ids.ts';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import { moveRoot } from '../../../libs/vault/copy/move-root.ts';
import { storeSlot } from '../../../libs/vault/rows/key-slots.ts';
import { openRootKms } from '../../../libs/wiring/open-root-kms.ts';
import { makeBackup } from '../../../services/operations/backup.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../../support/events.ts';
import { lethe, type Running, startLethe } from '../../support/processes.ts';
import { defaultConversationOf, subjectOf, textsOf } from '../../support/reading.ts';
import {
  embeddedVariables,
  openConfigured,
  temporaryFolder,
} from '../../support/temporary-store.ts';

// A copy or a restore makes a KMS key, wraps a vault under it, and is killed. Somebody has copied
// that vault. Once T1 is told, the key folder of today must not open it.

type Variables = Record<string, string>;

/** A store of two people, closed again. */
async function makeStore(folder: string) {
  const variables = embeddedVariables(folder);
  const store = await openConfigured(readConfiguration(variables), folder);
  await store.deliver(
    received('ann', 'secret', { id: 'p', conversation: PERSONAL }),
    received('ben', 'of ben', { id: 'q', conversation: PERSONAL }),
  );
  const conversation = await defaultConversationOf(store, 'ann');
  const { folder: backup } = await makeBackup(store, join(folder, 'mine'), Date.now());
  await store.ingest.close();
  await store.backends.close();
  return { variables, conversation, app: store.app.id, backup };
}

async function eraseAnn(folder: string, variables: Variables, app: string): Promise<void> {
  const store = await openConfigured(readConfiguration(variables), folder, {}, app as never);
  const ann = await subjectOf(store, 'ann');
  const erased = await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
  expect(erased.status).toBe('done');
  await store.ingest.close();
  await store.backends.close();
}

/** What a thief reads with a copy of the data, beside the keys of today. */
async function readStolen(
  thief: string,
  of: { keys: string; app: string; conversation: ConversationId },
): Promise<(string | null)[]> {
  const variables = { ...embeddedVariables(thief), LETHE_KMS: `local:${of.keys}` };
  try {
    const store = await openConfigured(readConfiguration(variables), thief, {}, of.app as never);
    await store.project();
    const texts = await textsOf(store, of.conversation);
    await store.ingest.close();
    await store.backends.close();
    return texts;
  } catch (error) {
    return [(error as { code: string }).code];
  }
}

function environmentFile(folder: string, variables: Variables): string {
  const file = join(folder, 'store.env');
  const lines = Object.entries(variables).map(([name, value]) => `${name}='${value}'`);
  writeFileSync(file, lines.join('\n'));
  return file;
}

/** Kills a process as soon as something is so. */
async function killWhen(running: Running, isSo: () => boolean): Promise<void> {
  while (!isSo() && running.child.exitCode === null) await sleep(1);
  running.child.kill('SIGKILL');
  await running.ended;
}

/** How many rows a vault has; 0 while it cannot be read. */
function rowsIn(file: string): number {
  if (!existsSync(file)) return 0;
  try {
    const database = new DatabaseSync(file, { readOnly: true });
    const { n } = database.prepare('SELECT count(*) AS n FROM vault_rows').get() as { n: number };
    database.close();
    return n;
  } catch {
    return 0;
  }
}

const keysIn = (folder: string) =>
  readdirSync(join(folder, 'keys')).filter((name) => name.endsWith('.key'));

describe('S49 a key that was made for what was given up', () => {
  it.each(['killed', 'ended'])(
    'by a copy that was %s before the original was turned goes when it is made again',
    async (how) => {
      const [from, to, thief] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
      const { variables, conversation, app } = await makeStore(from);
      const target = embeddedVariables(to);
      const files = ['--from-env', environmentFile(from, variables)];
      files.push('--to-env', environmentFile(to, target));
      const copying = startLethe(from, ['copy', ...files, '--keep-open']);
      if (how === 'killed') await killWhen(copying, () => rowsIn(join(to, 'data/vault.db')) > 20);
      else expect((await copying.ended).code).toBe(0);
      cpSync(join(to, 'data'), join(thief, 'data'), { recursive: true });
      await eraseAnn(from, variables, app);
      expect((await lethe(from, ['epoch', 'turn'], variables)).code).toBe(0);
      const again = await lethe(from, ['copy', ...files]);
      expect(again.err).toBe('');
      const ending = ['epoch', 'end-original', '--from-env', files[1]!, '--yes'];
      expect((await lethe(to, ending, target)).code).toBe(0);
      const { json } = await lethe(to, ['epoch', 'turn'], target);
      expect(json).toMatchObject({ step: 'done', waiting: [], t1: expect.any(String) });
      expect(keysIn(to).length).toBe(1);
      const keys = join(to, 'keys');
      expect(await readStolen(thief, { keys, app, conversation })).not.toContain('secret');
    },
    60_000,
  );

  it('by a restore that was killed is waited for, and goes with the keys of the original', async () => {
    const [folder, thief] = [temporaryFolder(), temporaryFolder()];
    const { variables, conversation, app, backup } = await makeStore(folder);
    renameSync(join(folder, 'data'), join(folder, 'lost'));
    const restoring = ['restore', backup, '--erasures-may-end-early'];
    const staging = join(folder, 'data/vault.db.restoring');
    // The copy of the vault is wrapped under the key a moment after that was made.
    const [own] = keysIn(folder);
    const made = () => keysIn(folder).find((name) => name !== own);
    const isThere = () => made() !== undefined && existsSync(join(staging, 'vault.db'));
    for (let isKilled = false; !isKilled; isKilled = isThere()) {
      await killWhen(startLethe(folder, restoring, variables), () => made() !== undefined);
    }
    const left = made()!;
    mkdirSync(join(thief, 'data'));
    cpSync(staging, join(thief, 'data'), { recursive: true });
    const again = await lethe(folder, restoring, variables);
    expect(again).toMatchObject({ code: 0 });
    const refused = await lethe(folder, ['epoch', 'end-original', '--yes'], variables);
    expect(refused.err).toContain(left.slice(0, -4));
    const ending = ['epoch', 'end-original', '--yes', '--copies'];
    expect((await lethe(folder, ending, variables)).code).toBe(0);
    expect(keysIn(folder)).not.toContain(left);
    await eraseAnn(folder, variables, app);
    const { json } = await lethe(folder, ['epoch', 'turn'], variables);
    expect(json).toMatchObject({ step: 'done', waiting: [], t1: expect.any(String) });
    const keys = join(folder, 'keys');
    expect(await readStolen(thief, { keys, app, conversation })).not.toContain('secret');
  }, 60_000);

  it('and that nothing names any more goes with the next turn', async () => {
    const folder = temporaryFolder();
    const { variables, app } = await makeStore(folder);
    const [own] = keysIn(folder);
    const kms = await openRootKms(readConfiguration(variables));
    const id = (await kms.storeOf(own!.slice(0, -4) as never))!;
    await kms.createKey(id);
    expect(keysIn(folder).length).toBe(2);
    await eraseAnn(folder, variables, app);
    const { json } = await lethe(folder, ['epoch', 'turn'], variables);
    expect(json).toMatchObject({ step: 'done', t1: expect.any(String) });
    expect(keysIn(folder).length).toBe(1);
    const status = await lethe(folder, ['epoch', 'status'], variables);
    expect(status.json).toMatchObject({ keysWaitedFor: 0, waitingForT1: 0 });
  });
});

describe('S49 a store that is made of the same original twice', () => {
  it('tells no T1 before the keys of the first one are gone too, whatever was made of that', async () => {
    const [folder, drill, thief] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
    const { variables, conversation, app, backup } = await makeStore(folder);
    const restored = async (from: string, into = folder, more = variables) =>
      lethe(into, ['restore', from, '--erasures-may-end-early'], more);
    const moveAside = (name: string) => renameSync(join(folder, 'data'), join(folder, name));
    moveAside('lost');
    expect((await restored(backup)).code).toBe(0);
    const own = await lethe(folder, ['backup', join(folder, 'second')], variables);
    expect(own.code, own.err).toBe(0);
    // Of the first one a drill is made as well.
    const beside = { LETHE_KMS: variables.LETHE_KMS!, LETHE_ERASURES: variables.LETHE_ERASURES! };
    const drilled = await restored(join(folder, 'second'), drill, beside);
    expect(drilled.code, drilled.err).toBe(0);
    moveAside('given-up');
    expect((await restored(backup)).code).toBe(0);
    await eraseAnn(folder, variables, app);
    expect((await lethe(folder, ['epoch', 'turn'], variables)).code).toBe(0);
    const refused = await lethe(folder, ['epoch', 'end-original', '--yes'], variables);
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain('other stores were made of the original');
    const status = async () => (await lethe(folder, ['epoch', 'status'], variables)).json;
    expect(await status()).toMatchObject({ waitingForT1: 1 });
    cpSync(join(folder, 'given-up'), join(thief, 'data'), { recursive: true });
    const keys = join(folder, 'keys');
    expect(await readStolen(thief, { keys, app, conversation })).toEqual(['secret']);
    const ended = ['epoch', 'end-original', '--yes', '--copies'];
    expect((await lethe(folder, ended, variables)).json.gone.length).toBe(3);
    expect(await status()).toMatchObject({ waitingForT1: 0 });
    expect(keysIn(folder).length).toBe(1);
    expect(await readStolen(thief, { keys, app, conversation })).toEqual(['ROOT_KMS_DENIED']);
  }, 60_000);
});

describe('S49 a copy that stands still where it takes over the root', () => {
  it.each(['before', 'after'])(
    'and an erasure and a turn of the original, %s it has opened that: no T1 while it opens',
    async (when) => {
      const [from, to] = [temporaryFolder(), temporaryFolder()];
      const { variables, app } = await makeStore(from);
      const original = await openConfigured(readConfiguration(variables), from, {}, app as never);
      const target = await makeStore(to);
      const copy = await openConfigured(
        readConfiguration(target.variables),
        to,
        {},
        target.app as never,
      );
      onTestFinished(async () => {
        await Promise.all([original.backends.close(), copy.backends.close()]);
      });
      const [root] = await original.backends.engines.vault.store.read([storeSlot().current]);
      const kms = await openRootKms(readConfiguration(variables));
      const turned = async () => {
        await eraseAnn(from, variables, app);
        return (await lethe(from, ['epoch', 'turn'], variables)).json;
      };
      let t1: unknown;
      const standing = {
        ...kms,
        async unwrap(...given: Parameters<typeof kms.unwrap>) {
          if (when === 'before') ({ t1 } = await turned());
          const plain = await kms.unwrap(...given);
          if (when === 'after') ({ t1 } = await turned());
          return plain;
        },
      };
      const { store, feed } = copy.backends.engines.vault;
      const moving = moveRoot(standing, kms, { store, feed })(root!);
      if (when === 'after') {
        await moving;
        expect(keysIn(from).length).toBe(2);
      } else {
        await expect(moving).rejects.toMatchObject({ code: 'ROOT_KMS_DENIED' });
        expect(keysIn(from).length).toBe(1);
      }
      expect(t1).toBe(null);
    },
    60_000,
  );
});

describe('S49 a key that the original makes while its keys are ended', () => {
  it.each(['a turn', 'a restore'])(
    'is seen, by %s: no T1 is told, and the next call ends it',
    async (by) => {
      const [folder, restored, other] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
      const { variables, app, backup } = await makeStore(folder);
      const beside = { LETHE_KMS: variables.LETHE_KMS! };
      for (const made of [restored, other]) {
        cpSync(variables.LETHE_ERASURES!, join(made, 'erasures'), { recursive: true });
      }
      const asked = ['restore', backup, '--erasures-may-end-early'];
      expect((await lethe(restored, asked, beside)).code).toBe(0);
      const own = { ...embeddedVariables(restored), ...beside };
      await eraseAnn(restored, own, app);
      expect((await lethe(restored, ['epoch', 'turn'], own)).code).toBe(0);
      const configuration = readConfiguration(own);
      const store = await openConfigured(configuration, restored, {}, app as never);
      onTestFinished(() => store.backends.close());
      const epoch = store.backends.epoch();
      const kms = await openRootKms(configuration);
      let isMade = false;
      const whileItLooks = {
        ...kms,
        // Takes up to 45 s where a process of the original was killed.
        async isServed(key: KeyId) {
          const made = by === 'a turn' ? ['epoch', 'turn'] : asked;
          const at = by === 'a turn' ? folder : other;
          if (!isMade)
            expect((await lethe(at, made, at === folder ? variables : beside)).code).toBe(0);
          isMade = true;
          return kms.isServed(key);
        },
      };
      const how = { nowMs: Date.now(), evenCopies: by === 'a restore' };
      const text = 'keys were made there meanwhile';
      await expect(epoch.endOriginals(whileItLooks, how)).rejects.toThrow(text);
      expect((await epoch.status()).keysWaitedFor).toBe(1);
      expect(keysIn(folder).length).toBe(2);
      const { gone } = await epoch.endOriginals(kms, how);
      expect(gone.length).toBeGreaterThan(0);
      expect((await epoch.status()).keysWaitedFor).toBe(0);
      expect(keysIn(folder).length).toBe(1);
    },
    60_000,
  );
});

describe('S49 a restore drill beside its running original', () => {
  it('opens what was erased there since: no T1 is told before its key is ended', async () => {
    const [folder, drill, second] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
    const { variables, conversation, app, backup } = await makeStore(folder);
    const beside = { LETHE_KMS: variables.LETHE_KMS!, LETHE_ERASURES: variables.LETHE_ERASURES! };
    const drilled = (from: string, into: string) =>
      lethe(into, ['restore', from, '--erasures-may-end-early'], beside);
    expect((await drilled(backup, drill)).code).toBe(0);
    // And what was made of that one opens the same.
    const made = { ...embeddedVariables(drill), ...beside };
    expect((await lethe(drill, ['backup', join(drill, 'own')], made)).code).toBe(0);
    expect((await drilled(join(drill, 'own'), second)).code).toBe(0);
    await eraseAnn(folder, variables, app);
    const turned = await lethe(folder, ['epoch', 'turn'], variables);
    expect(turned.json).toMatchObject({ step: 'done', t1: null });
    const keys = join(folder, 'keys');
    expect(await readStolen(drill, { keys, app, conversation })).toEqual(['secret']);
    const status = async () => (await lethe(folder, ['epoch', 'status'], variables)).json;
    const { keysOfCopies, waitingForT1 } = await status();
    expect([keysOfCopies.length, waitingForT1]).toEqual([2, 1]);
    const asked = await lethe(folder, ['epoch', 'end-copies'], variables);
    expect(asked.code).toBe(2);
    for (const key of keysOfCopies) expect(asked.err).toContain(key);
    // Nor are they ended while one of them serves.
    const serving = startLethe(second, ['serve', 'reader'], beside);
    await serving.printed('listening');
    const refused = await lethe(folder, ['epoch', 'end-copies', '--yes'], variables);
    expect(refused.err).toContain('nothing was ended');
    serving.child.kill('SIGTERM');
    await serving.ended;
    const ended = await lethe(folder, ['epoch', 'end-copies', '--yes'], variables);
    expect(ended.json.gone.toSorted()).toEqual(keysOfCopies.toSorted());
    expect(await status()).toMatchObject({ waitingForT1: 0, keysOfCopies: [] });
    expect(await readStolen(drill, { keys, app, conversation })).toEqual(['ROOT_KMS_DENIED']);
    // The original goes on, and a turn tells T1 at once again.
    expect((await lethe(folder, ['doctor'], variables)).code).toBe(0);
    const next = await lethe(folder, ['epoch', 'turn'], variables);
    expect(next.json).toMatchObject({ step: 'done', t1: expect.any(String) });
  }, 60_000);

  it('does not call the store that it came from a copy, whatever that was made of', async () => {
    const [folder, drill] = [temporaryFolder(), temporaryFolder()];
    const { variables, backup } = await makeStore(folder);
    renameSync(join(folder, 'data'), join(folder, 'lost'));
    const restoring = ['restore', backup, '--erasures-may-end-early'];
    expect((await lethe(folder, restoring, variables)).code).toBe(0);
    const own = join(folder, 'second');
    expect((await lethe(folder, ['backup', own], variables)).code).toBe(0);
    const beside = { LETHE_KMS: variables.LETHE_KMS!, LETHE_ERASURES: variables.LETHE_ERASURES! };
    const drilled = await lethe(drill, ['restore', own, '--erasures-may-end-early'], beside);
    expect(drilled.code, drilled.err).toBe(0);
    const serving = startLethe(folder, ['serve', 'reader'], variables);
    await serving.printed('listening');
    const ended = await lethe(drill, ['epoch', 'end-original', '--yes'], beside);
    expect(ended.err).toContain('the original serves');
    expect(ended.err).not.toContain('--copies');
    serving.child.kill('SIGTERM');
    await serving.ended;
  }, 60_000);
});

describe('a copy that closes its original', () => {
  it('is refused while a process has that open, and nothing is closed', async () => {
    const [from, to] = [temporaryFolder(), temporaryFolder()];
    const { variables, app } = await makeStore(from);
    const running = await openConfigured(readConfiguration(variables), from, {}, app as never);
    onTestFinished(() => running.backends.close());
    await subjectOf(running, 'ann');
    const files = ['--from-env', environmentFile(from, variables)];
    const onto = await lethe(from, ['copy', ...files, '--to-env', files[1]!]);
    expect(onto.err).toContain('both name the same vault');
    files.push('--to-env', environmentFile(to, embeddedVariables(to)));
    const refused = await lethe(from, ['copy', ...files]);
    expect(refused.code).not.toBe(0);
    expect(refused.err).toContain('have the original open: stop all services');
    const ann = await subjectOf(running, 'ann');
    const privacy = createPrivacy(running.backends.privacy());
    expect((await privacy.eraseSubject(running.app.id, ann)).status).toBe('done');
    await running.ingest.close();
    await running.backends.close();
    // It holds her still: nobody opens it.
    const early = await lethe(to, ['doctor'], embeddedVariables(to));
    expect(early.code).toBe(2);
    expect(early.err).toContain('a copy that has not ended');
    const done = await lethe(from, ['copy', ...files]);
    expect(done.err).toBe('');
    expect(done.json).toMatchObject({ erasures: 2 });
    const shown = await lethe(to, ['show', 'subject', ann, '--app', app], embeddedVariables(to));
    expect(shown.code).not.toBe(0);
  }, 30_000);
});
