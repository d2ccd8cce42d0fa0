import { describe, expect, it } from 'vitest';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { rebuildViews } from '../../libs/projection/project.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../support/events.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import type { TestStore } from '../support/temporary-store.ts';
import { openPeople, openVault, type Row } from '../support/vault-rows.ts';

const unsaid = () => undefined;

/** What `lethe doctor` says of the views. */
async function viewsCheck(store: TestStore) {
  return (await runDoctor(store, unsaid)).find(({ name }) => name === 'views')!;
}

describe('tables of which somebody has taken rows away', () => {
  it.each(['messages', 'conversations', 'changes', 'participants', 'people', 'facts'])(
    'of the views (%s): a rebuild makes them anew, as they were',
    async (table) => {
      const store = await openPeople();
      const powers = store.backends.reader();
      const group = await groupOf(store);
      const shown = async () => ({
        texts: await textsOf(store, group),
        inbox: await powers.views.inbox(store.app.id, { limit: 10 }),
        people: await powers.views.people(store.app.id, { limit: 10 }),
        participants: await powers.views.participants(group),
        facts: await powers.views.facts(await subjectOf(store, 'ann')),
      });
      const before = await shown();
      const database = openVault(fileOf(store.configuration.views));
      const tables = database
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE ?")
        .all(`${table}_%`) as { name: string }[];
      expect(tables.length).toBeGreaterThan(0);
      for (const { name } of tables) database.exec(`DELETE FROM ${name}`);
      if (table === 'messages') {
        const check = await viewsCheck(store);
        expect(check).toMatchObject({ passed: false });
        expect(check.detail).toContain('lethe rebuild');
      }
      await rebuildViews(store.backends.projector(), powers.keyring, unsaid);
      expect(await shown()).toEqual(before);
      expect((await viewsCheck(store)).passed).toBe(true);
    },
  );

  it('of the delivery ledger, or puts old ones back: what was erased is erased when it comes again', async () => {
    const store = await openPeople();
    const database = openVault(fileOf(store.configuration.state));
    const rows = () => database.prepare('SELECT * FROM deliveries').all() as Row[];
    const old = rows();
    expect(old.length).toBeGreaterThan(0);
    const ann = await subjectOf(store, 'ann');
    await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
    for (const row of old) {
      const names = Object.keys(row);
      const places = names.map(() => '?').join();
      const sql = `INSERT OR REPLACE INTO deliveries (${names.join()}) VALUES (${places})`;
      database.prepare(sql).run(...(Object.values(row) as never[]));
    }
    const again = await store.reopen();
    const outcomes = await again.deliver(
      received('ann', 'hers', { id: 'a' }),
      received('ann', 'secret', { id: 'c', conversation: PERSONAL }),
      received('ben', 'his', { id: 'b' }),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['erased', 'erased', 'duplicate']);
    expect(await textsOf(again, await groupOf(again))).toEqual([null, 'his']);
  });
});
