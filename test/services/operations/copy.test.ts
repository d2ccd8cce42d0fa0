import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import { openBackends } from '../../../libs/wiring/open-backends.ts';
import { migrateEngines } from '../../../libs/wiring/open-engines.ts';
import { removeEngines } from '../../../libs/wiring/throwaway-engines.ts';
import { copyStore } from '../../../services/operations/copy-store.ts';
import { createPrivacy } from '../../../services/privacy/doors/privacy.ts';
import { edited, PERSONAL, received } from '../../support/events.ts';
import { lethe, startLethe } from '../../support/processes.ts';
import { defaultConversationOf, groupOf, subjectOf, textsOf } from '../../support/reading.ts';
import {
  embeddedVariables,
  openConfigured,
  storeVariables,
  type TestStore,
  temporaryFolder,
} from '../../support/temporary-store.ts';

const PEOPLE = 30;
// On servers most of the time goes into making tables.
const KILL_AFTER_MS = process.env.TEST_STORE_ENGINES ? 9_000 : 700;

function writeEnvironment(folder: string, name: string, variables: Record<string, string>): string {
  const file = join(folder, name);
  const lines = Object.entries(variables).map(([one, value]) => `${one}='${value}'`);
  writeFileSync(file, lines.join('\n'));
  return file;
}

/** An embedded store with people, one erased, one message forgotten. */
async function openOriginal(folder: string): Promise<TestStore> {
  const configuration = readConfiguration(embeddedVariables(folder));
  const store = await openConfigured(configuration, folder);
  for (let n = 0; n < PEOPLE; n += 1) {
    const name = `person-${n}`;
    await store.deliver(
      received(name, `in the group ${n}`, { id: `g-${n}` }),
      received(name, `alone ${n}`, { id: `p-${n}`, conversation: PERSONAL }),
    );
  }
  await store.deliver(edited('person-3', 'g-3', 'in the group 3, corrected'));
  const erased = await subjectOf(store, 'person-5');
  await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, erased);
  return store;
}

describe('lethe copy', () => {
  it('S35 takes a store to other engines, goes on after kill -9, and what was erased stays erased', async () => {
    const folder = temporaryFolder();
    const original = await openOriginal(folder);
    const group = await groupOf(original);
    const expected = await textsOf(original, group);
    const alone = await defaultConversationOf(original, 'person-7');
    const app = original.app.id;
    await original.ingest.close();
    await original.backends.close();
    const from = writeEnvironment(folder, 'from.env', embeddedVariables(folder));
    const other = temporaryFolder();
    const targetVariables = { ...storeVariables(other), LETHE_KMS: `local:${other}/keys` };
    const to = writeEnvironment(other, 'to.env', targetVariables);
    const configuration = readConfiguration(targetVariables);
    onTestFinished(() => removeEngines(configuration));
    const args = ['copy', '--from-env', from, '--to-env', to, '--keep-open'];
    // Once it is killed in the middle, once it ends.
    const killed = startLethe(folder, args);
    setTimeout(() => killed.child.kill('SIGKILL'), KILL_AFTER_MS);
    await killed.ended;
    const copied = await lethe(folder, args);
    expect(copied.code, copied.err).toBe(0);
    expect(copied.json.vault.differing).toBe(0);
    expect(copied.json.state.deliveries).toBeGreaterThan(PEOPLE * 2);
    // A third run finds everything there.
    const again = await lethe(folder, args);
    expect(again.json.log).toEqual({ ...copied.json.log, appended: 0 });
    // The next day somebody who was copied is erased at the original.
    const late = await openConfigured(
      readConfiguration(embeddedVariables(folder)),
      folder,
      {},
      app,
    );
    const lateSubject = await subjectOf(late, 'person-9');
    await createPrivacy(late.backends.privacy()).eraseSubject(app, lateSubject);
    await late.ingest.close();
    await late.backends.close();
    const nextDay = await lethe(folder, args);
    expect(nextDay.code, nextDay.err).toBe(0);
    expected[9] = null;
    const backends = await openBackends(configuration);
    onTestFinished(() => backends.close());
    const copy = await openConfigured(configuration, other, {}, app);
    onTestFinished(() => copy.backends.close());
    expect(await textsOf(copy, group)).toEqual(expected);
    expect(expected[5]).toBeNull();
    expect(await textsOf(copy, alone)).toEqual(['alone 7']);
    const redelivered = await copy.deliver(
      received('person-5', 'in the group 5', { id: 'g-5' }),
      received('person-7', 'alone 7', { id: 'p-7', conversation: PERSONAL }),
    );
    expect(redelivered.map(({ status }) => status)).toEqual(['erased', 'duplicate']);
  });

  it.each(['rows of the vault', 'entries of the delivery ledger'])(
    'one that was broken off is opened by nobody until it has ended: at the %s',
    async (point) => {
      const folder = temporaryFolder();
      const original = await openOriginal(folder);
      const app = original.app.id;
      const group = await groupOf(original);
      const expected = await textsOf(original, group);
      await original.ingest.close();
      await original.backends.close();
      const other = temporaryFolder();
      const from = readConfiguration(embeddedVariables(folder));
      const variables = { ...storeVariables(other), LETHE_KMS: `local:${other}/keys` };
      const to = readConfiguration(variables);
      onTestFinished(() => removeEngines(to));
      await migrateEngines(to);
      const breaking = copyStore(from, to, {
        isKeptOpen: true,
        onProgress(text) {
          if (text.includes(point)) throw new Error('broken off');
        },
      });
      await expect(breaking).rejects.toThrow('broken off');
      const opening = openBackends(to).then((backends) => backends.close());
      await expect(opening).rejects.toThrow('LETHE_VAULT: this store is closed');
      const through = { isKeptOpen: true, onProgress: () => undefined };
      await copyStore(from, to, through);
      await openBackends(to).then((backends) => backends.close());
      // The same of a run over a copy that had ended.
      const again = copyStore(from, to, {
        ...through,
        onProgress(text) {
          if (text.includes(point)) throw new Error('broken off');
        },
      });
      await expect(again).rejects.toThrow('broken off');
      await expect(openBackends(to)).rejects.toThrow('LETHE_VAULT: this store is closed');
      await copyStore(from, to, through);
      const copy = await openConfigured(to, other, {}, app);
      onTestFinished(() => copy.backends.close());
      await copy.project();
      expect(await textsOf(copy, group)).toEqual(expected);
    },
  );

  it('into the vault of another store is refused before anything of that is changed', async () => {
    const folder = temporaryFolder();
    const original = await openOriginal(folder);
    await original.ingest.close();
    await original.backends.close();
    const other = temporaryFolder();
    const living = await openOriginal(other);
    const group = await groupOf(living);
    const expected = await textsOf(living, group);
    await living.ingest.close();
    await living.backends.close();
    const own = { ...embeddedVariables(other), LETHE_LOG: `sqlite:${other}/data/new.db` };
    const to = readConfiguration({ ...own, LETHE_STATE: `sqlite:${other}/data/new.db` });
    const from = readConfiguration(embeddedVariables(folder));
    const copying = copyStore(from, to, { isKeptOpen: true, onProgress: () => undefined });
    await expect(copying).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    const unharmed = await openConfigured(
      readConfiguration(embeddedVariables(other)),
      other,
      {},
      living.app.id,
    );
    onTestFinished(() => unharmed.backends.close());
    expect(await textsOf(unharmed, group)).toEqual(expected);
  });
});
