import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openEnvelope } from '../../libs/audit/dsse.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { settleEpoch, turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { reclaim } from '../../services/privacy/life/reclaim.ts';
import {
  runOpenRequests,
  type UnknownRequest,
  whyUnknown,
} from '../../services/privacy/life/request-worker.ts';
import { received, removed } from '../support/events.ts';
import { groupOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

/** The tables as somebody without a key writes them. */
function openTables(store: TestStore, file = 'lethe.db'): DatabaseSync {
  const database = new DatabaseSync(join(store.folder, 'data', file));
  onTestFinished(() => database.close());
  return database;
}

async function openPeople(): Promise<TestStore> {
  const store = await openTestStore();
  await store.deliver(received('ann', 'hers', { id: 'a' }), received('ben', 'his', { id: 'b' }));
  return store;
}

/** What a worker carries out of what is there, and what it is told that it leaves. */
async function work(store: TestStore) {
  const left: UnknownRequest[] = [];
  const onUnknown = (one: UnknownRequest) => left.push(one);
  const done = await runOpenRequests(store.backends.privacy(), { onUnknown });
  return { done, left };
}

async function eraseAnn(store: TestStore) {
  const outcome = await createPrivacy(store.backends.privacy()).eraseSubject(
    store.app.id,
    await subjectOf(store, 'ann'),
  );
  if (outcome.status !== 'done') throw new Error(outcome.status);
  return outcome;
}

function statementOf(store: TestStore, file: string) {
  const key = readFileSync(join(store.folder, 'certificates', 'public-key.pem'));
  return openEnvelope(readFileSync(file, 'utf8'), createPublicKey(key));
}

describe('S51 who can write the tables of the state, but has no key', () => {
  it.each(['erase-app', 'erase-subject', 'forget-days'])(
    'has nothing taken by a request that they wrote: %s; it is named, and others go on',
    async (kind) => {
      const store = await openPeople();
      const target = {
        'erase-app': {},
        'erase-subject': { subject: await subjectOf(store, 'ben') },
        'forget-days': { fromDay: 0, toDay: 40_000 },
      }[kind];
      const sql = `INSERT INTO requests (id, app, kind, target, step, received_at, changed_at, code)
        VALUES (?, ?, ?, ?, 'received', 1, 1, ?)`;
      const id = 'f'.repeat(32);
      const values = [id, store.app.id, kind, JSON.stringify(target), 'a'.repeat(64)] as const;
      openTables(store)
        .prepare(sql)
        .run(...values);
      await store.deliver(removed('a'));
      const { done, left } = await work(store);
      expect(done).toBe(1);
      expect(left.map((one) => one.id)).toEqual([id]);
      expect(whyUnknown(left[0]!).message).toContain(`the request ${id} was written or changed`);
      expect(await textsOf(store, await groupOf(store))).toEqual([null, 'his']);
      const backlog = (await runDoctor(store, () => undefined)).find(({ name }) => {
        return name === 'backlog';
      });
      expect(backlog).toMatchObject({ passed: false, detail: expect.stringContaining(id) });
    },
  );

  it('turns no request of somebody’s into one about somebody else', async () => {
    const store = await openPeople();
    await store.deliver(removed('a'));
    const tables = openTables(store);
    const [request] = tables.prepare('SELECT * FROM requests').all() as { target: string }[];
    const [, his] = await store.backends.reader().views.messages(await groupOf(store), {
      limit: 10,
    });
    const target = { ...JSON.parse(request!.target), message: his!.message };
    tables.prepare('UPDATE requests SET target = ?').run(JSON.stringify(target));
    const { done, left } = await work(store);
    expect([done, left.length]).toEqual([0, 1]);
    expect(await textsOf(store, await groupOf(store))).toEqual(['hers', 'his']);
  });

  it.each([
    ['that it had come', 'UPDATE request_afterlives SET t1_at = 1'],
    ['that an earlier turn covers it', 'UPDATE request_afterlives SET after_turn = -1'],
    ['that nothing has its code', `UPDATE request_afterlives SET t1_at = 1, code = ''`],
    ['by another row of that id', null],
  ])('has no T1 told or certified by writing %s', async (_, sql) => {
    const store = await openPeople();
    await turnEpoch(store);
    const ann = await eraseAnn(store);
    const tables = openTables(store);
    if (sql === null) {
      const [row] = tables.prepare('SELECT * FROM request_afterlives').all();
      tables.exec('DELETE FROM request_afterlives');
      const { app, kind, done_at: doneAt } = row as Record<string, string>;
      tables
        .prepare('INSERT INTO request_afterlives VALUES (NULL, ?, ?, ?, ?, ?, 1, NULL, 0, ?, NULL)')
        .run(ann.erasure, app!, kind!, '{}', doneAt!, 'b'.repeat(64));
    } else tables.exec(sql);
    await settleEpoch(store);
    const soon = Date.now() + 200 * 86_400_000;
    const powers = { ...store.backends.privacy(), clock: clockAt(soon) };
    await reclaim(powers as never, { rebuildViews: async () => undefined });
    expect(statementOf(store, ann.certificate!.file).predicate).toMatchObject({
      t1: { at: 'pending' },
    });
    const { requests } = store.backends.privacy();
    expect((await requests.afterlife(ann.erasure))?.t1AtMs ?? null).toBeNull();
    expect(await requests.forged()).toEqual([ann.erasure]);
  });

  it('has no T1 told by writing an older record of turns back around an erasure', async () => {
    const store = await openPeople();
    await turnEpoch(store);
    const tables = openTables(store, 'vault.db');
    const copy = () =>
      ['vault_turn', 'vault_turn_spare'].map((name) => {
        return [name, tables.prepare(`SELECT turn, code FROM ${name}`).get()] as const;
      });
    const write = (copied: ReturnType<typeof copy>) => {
      for (const [name, row] of copied) {
        const { turn, code } = row as { turn: string; code: string };
        tables.prepare(`UPDATE ${name} SET turn = ?, code = ?`).run(turn, code);
      }
    };
    const older = copy();
    await turnEpoch(store);
    const newer = copy();
    write(older);
    await expect(eraseAnn(store)).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
    await expect(settleEpoch(store)).rejects.toMatchObject({ code: 'VAULT_TAMPERED' });
    write(newer);
    const { done } = await work(store);
    expect(done).toBe(1);
    const { requests } = store.backends.privacy();
    await settleEpoch(store);
    expect(await requests.afterlives()).toMatchObject([{ t1AtMs: null, afterTurn: 2 }]);
  });

  it('has no T1 told by writing the record of turns', async () => {
    const store = await openPeople();
    await turnEpoch(store);
    const ann = await eraseAnn(store);
    const tables = openTables(store, 'vault.db');
    const { turn } = tables.prepare('SELECT turn FROM vault_turn').get() as { turn: string };
    const edited = JSON.stringify({ ...JSON.parse(turn), number: 9, t1AtMs: 1, waiting: [] });
    tables.prepare('UPDATE vault_turn SET turn = ?').run(edited);
    await settleEpoch(store);
    const { requests } = store.backends.privacy();
    expect((await requests.afterlife(ann.erasure))!.t1AtMs).toBeNull();
    // Its spare has taken its place, and the next turn is made and covers her.
    await turnEpoch(store);
    expect((await requests.afterlife(ann.erasure))!.t1AtMs).not.toBeNull();
  });
});

function clockAt(nowMs: number) {
  return { nowMs: () => nowMs, monotonicMs: () => performance.now() };
}
