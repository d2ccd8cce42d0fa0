import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { AppId } from '../../libs/base/ids.ts';
import { turnEpoch } from '../../services/cli/epoch-commands.ts';
import { createPrivacy } from '../../services/privacy/privacy.ts';
import { received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { environmentOf, lethe, startScript } from '../support/processes.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { openAt, temporaryFolder } from '../support/temporary-store.ts';

// Every gap takes a whole store and three processes: not each, but some of every kind of step.
const STEP = 12;
// Whoever runs a turn is taken to be gone when it was silent for so long.
const SILENT_MS = 11_000;

describe('kill -9', () => {
  it('of a turn at its gaps between two commits: it is finished by the next run, nobody loses a byte', async () => {
    const folder = temporaryFolder();
    const made = await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16']);
    const appId: AppId = made.json.app.id;
    const script = join(import.meta.dirname, '../support/die-in-turn.ts');
    let kills = 0;
    let finished = false;
    for (let n = 1; !finished; n += STEP) {
      const store = await openAt(folder, {}, appId);
      await store.deliver(
        received(`victim-${n}`, 'hers', { id: `v-${n}` }),
        received('witness', `witness ${n}`, { id: `w-${n}` }),
      );
      const victim = await subjectOf(store, `victim-${n}`);
      await createPrivacy(store.backends.privacy()).eraseSubject(appId, victim);
      await store.project();
      const group = await groupOf(store);
      const before = await textsOf(store, group);
      await store.ingest.close();
      await store.backends.close();
      const ended = await startScript(script, [String(n)], environmentOf(folder)).ended;
      finished = ended.out === 'finished';
      if (ended.signal === 'SIGKILL') kills += 1;
      else expect(finished, ended.err).toBe(true);
      const between = await openAt(folder, {}, appId);
      expect(await textsOf(between, group)).toEqual(before);
      if (ended.signal === 'SIGKILL') await sleep(SILENT_MS);
      const { turn } = await turnEpoch(between);
      expect(turn).toMatchObject({ step: 'done', failedApps: [] });
      expect(await textsOf(between, group)).toEqual(before);
      expect(await between.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
      await between.ingest.close();
      await between.backends.close();
    }
    expect(kills).toBeGreaterThanOrEqual(3);
    recordFigures('kill -9 of a turn', { kills, everyNthGap: STEP });
  });
});
