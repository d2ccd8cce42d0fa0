import { readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LossId, MessageId, RequestId } from '../../libs/base/ids.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { runDoctor } from '../../services/operations/doctor.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { runUpkeep } from '../../services/operations/upkeep.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { watchErasures } from '../../services/privacy/life/enforce.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { groupOf, messagesOf, subjectOf, textsOf } from '../support/reading.ts';
import { eraseAnn, lookTwice, watchChanges } from '../support/request-rows.ts';
import type { TestStore } from '../support/temporary-store.ts';
import { openPeople, openVault, put } from '../support/vault-rows.ts';

// Who can write the tables of state and vault, but holds no key, writes rows of requests back, or
// takes them away, so that what they write back of the vault is passed over.

const privacyOf = (store: TestStore) => createPrivacy(store.backends.privacy());

describe('S51 records of requests that somebody without a key', () => {
  it('writes back as they were keep nobody’s rows from being noticed', async () => {
    const store = await openPeople();
    const { vault, putBack, old } = await eraseAnn(store);
    putBack('shred');
    put(vault, old);
    const again = await store.reopen();
    expect((await lookTwice(again)).join()).toContain('was there again');
    expect(await textsOf(again, await groupOf(again))).toEqual([null, 'his']);
    put(vault, old);
    await turnEpoch(again);
    expect(await textsOf(again, await groupOf(again))).toEqual([null, 'his']);
  });

  it('keeps from being looked at for a while are looked at as soon as they are there again', async () => {
    const store = await openPeople();
    const { vault, old } = await eraseAnn(store);
    const { erasuresFolder } = store.configuration;
    renameSync(erasuresFolder, `${erasuresFolder}.aside`);
    const ending = new AbortController();
    const told: string[] = [];
    const upkeep = runUpkeep(
      store,
      ending.signal,
      { onFailure: (_, error) => void told.push(String(error)), onEpoch: () => undefined },
      20,
    );
    await expect.poll(() => told.length, { timeout: 10_000 }).toBeGreaterThan(8);
    renameSync(`${erasuresFolder}.aside`, erasuresFolder);
    put(vault, old);
    const wasThere = () => told.some((text) => text.includes('was there again'));
    await expect.poll(wasThere, { timeout: 1_000 }).toBe(true);
    ending.abort();
    await upkeep;
  });

  it('writes back as they began, beside old rows of what they took, have nothing withdrawn', async () => {
    const store = await openPeople();
    const group = await groupOf(store);
    const [first] = await messagesOf(store, group);
    const { vault, state, old, putBack } = await watchChanges(store, () =>
      privacyOf(store).forgetMessage(store.app.id, group, first!.id as MessageId),
    );
    // A genuine one, which refuses what is asked from now on.
    await privacyOf(store).hold(store.app.id, await subjectOf(store, 'ann'));
    state.exec('DELETE FROM request_afterlives');
    putBack('begun');
    put(vault, old);
    const again = await store.reopen();
    await again.project();
    expect(await textsOf(again, group)).toEqual(['hers', 'his']);
    const privacy = again.backends.privacy();
    await runOpenRequests(privacy);
    const listed = (await privacy.erasures.read()).map(({ kind }) => kind);
    expect(listed).not.toContain('withdrawn');
    expect(await textsOf(again, group)).toEqual([null, 'his']);
    expect(await privacy.requests.afterlives()).toHaveLength(1);
    // Before anybody carries it out, it is told.
    state.exec('DELETE FROM request_afterlives');
    putBack('begun');
    put(vault, old);
    const later = await again.reopen();
    const checks = await runDoctor(later, () => undefined);
    expect(checks.find(({ name }) => name === 'erasures')).toMatchObject({ passed: false });
    await turnEpoch(later);
    expect(await textsOf(later, group)).toEqual([null, 'his']);
  });

  it.each(['received', 'shred', 'finish'])(
    'writes back as they were at the step %s hide nothing from a turn, nor from who looks often',
    async (step) => {
      const store = await openPeople();
      const { vault, state, old, putBack } = await eraseAnn(store);
      const hide = () => {
        state.exec('DELETE FROM request_afterlives');
        if (step === 'received') state.exec("UPDATE requests SET step = 'received'");
        else putBack(step);
        put(vault, old);
      };
      hide();
      const again = await store.reopen();
      expect((await lookTwice(again)).join()).toContain('no record that it had ended');
      expect(await textsOf(again, await groupOf(again))).toEqual([null, 'his']);
      hide();
      const turning = await again.reopen();
      await turnEpoch(turning);
      expect(await textsOf(turning, await groupOf(turning))).toEqual([null, 'his']);
    },
    30_000,
  );

  it('writes back at a late step, with the list cut off, have nothing taken', async () => {
    const store = await openPeople();
    const [id, loss] = ['ab'.repeat(16) as RequestId, 'cd'.repeat(16) as LossId];
    const times = { receivedAtMs: Date.now(), changedAtMs: Date.now() };
    const of = { id, loss, app: store.app.id, kind: 'erase-subject' as const, ...times };
    const target = { subject: await subjectOf(store, 'ann') };
    const { requests, erasures } = store.backends.privacy();
    const listed = { id, app: store.app.id, atMs: Date.now() };
    await erasures.add([{ ...listed, kind: 'erase-subject', loss, target }]);
    await erasures.add([{ ...listed, kind: 'withdrawn', target: {} }]);
    await requests.add({ ...of, target, step: 'shred' });
    const { erasuresFolder } = store.configuration;
    rmSync(join(erasuresFolder, readdirSync(erasuresFolder).toSorted().at(-1)!));
    const again = await store.reopen();
    const carrying = runOpenRequests(again.backends.privacy());
    await expect(carrying).rejects.toThrow('is not the list of this store');
    expect(await textsOf(again, await groupOf(again))).toEqual(['hers', 'his']);
  });

  it('takes once more leave no row that looks as if nobody had begun it', async () => {
    const store = await openPeople();
    const { vault, old } = await eraseAnn(store);
    put(vault, old);
    const again = await store.reopen();
    const { state } = await watchChanges(again, () => lookTwice(again));
    const steps = state.prepare('SELECT DISTINCT step FROM aside').all();
    expect(steps).not.toContainEqual({ step: 'received' });
    expect(await textsOf(again, await groupOf(again))).toEqual([null, 'his']);
  });

  it('writes back of what was refused has nothing taken when the hold has ended', async () => {
    const store = await openPeople();
    const ann = await subjectOf(store, 'ann');
    const held = await privacyOf(store).hold(store.app.id, ann);
    if (held.status !== 'held') throw new Error(held.status);
    const { state } = await watchChanges(store, () =>
      privacyOf(store).eraseSubject(store.app.id, ann),
    );
    const [row] = state.prepare('SELECT * FROM aside').all() as { [column: string]: string }[];
    await privacyOf(store).release(store.app.id, ann, held.hold);
    state
      .prepare(
        `INSERT INTO requests (id, app, kind, target, step, received_at, changed_at, code, loss)
         VALUES (?, ?, 'erase-subject', ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        ...([row!.id, store.app.id, row!.target, row!.step] as string[]),
        ...([row!.changed_at, row!.changed_at, row!.code, row!.loss] as string[]),
      );
    const again = await store.reopen();
    const privacy = again.backends.privacy();
    expect(await privacy.requests.open(10)).toMatchObject([{ isForged: false }]);
    const told: string[] = [];
    await runOpenRequests(privacy, { onRefused: ({ message }) => void told.push(message) });
    expect(told.join()).toContain('had been refused');
    expect(await textsOf(again, await groupOf(again))).toEqual(['hers', 'his']);
    expect(await privacy.requests.open(10)).toEqual([]);
  });

  it('removes while they are carried out withdraw nothing: no T1 is told', async () => {
    const store = await openPeople();
    const { vault, state, old, erasure } = await eraseAnn(store);
    state.exec(`DELETE FROM requests;
      CREATE TRIGGER gone AFTER INSERT ON requests BEGIN DELETE FROM requests; END`);
    put(vault, old);
    const again = await store.reopen();
    const privacy = again.backends.privacy();
    const told: string[] = [];
    await watchErasures(privacy, ({ message }) => told.push(message))();
    expect(told.join()).toContain('on no record');
    expect((await turnEpoch(again)).turn.failedApps).toEqual([again.app.id]);
    expect((await privacy.erasures.read()).map(({ kind }) => kind)).toEqual([
      'erase-subject',
      'taken',
    ]);
    expect(await privacy.requests.afterlife(erasure)).toMatchObject({ t1AtMs: null });
    const checks = await runDoctor(again, () => undefined);
    expect(checks.find(({ name }) => name === 'erasures')).toMatchObject({ passed: false });
    state.exec('DROP TRIGGER gone');
    await turnEpoch(again);
    expect(await textsOf(again, await groupOf(again))).toEqual([null, 'his']);
  });

  it('changes after they ended are written anew, once', async () => {
    const store = await openPeople();
    const privacy = privacyOf(store);
    await privacy.deleteConversation(store.app.id, await groupOf(store));
    openVault(fileOf(store.configuration.state)).exec(
      'UPDATE request_afterlives SET done_at = done_at + 1',
    );
    const again = await store.reopen();
    expect((await lookTwice(again)).length).toBe(1);
    const { requests } = again.backends.privacy();
    expect(await requests.afterlives()).toMatchObject([{ t1AtMs: null }]);
    await turnEpoch(again);
    expect(await requests.afterlives()).toMatchObject([{ t1AtMs: expect.any(Number) }]);
  });

  it('removes, of what was forgotten before a hold: it stays on the list, and is told', async () => {
    const store = await openPeople();
    const group = await groupOf(store);
    const [first] = await messagesOf(store, group);
    const privacy = privacyOf(store);
    await privacy.forgetMessage(store.app.id, group, first!.id as MessageId);
    const held = await privacy.hold(store.app.id, await subjectOf(store, 'ann'));
    expect(held.status).toBe('held');
    openVault(fileOf(store.configuration.state)).exec('DELETE FROM request_afterlives');
    const again = await store.reopen();
    await again.project();
    expect((await lookTwice(again)).join()).toContain('no record that it had ended');
    const listed = await again.backends.privacy().erasures.read();
    expect(listed.map(({ kind }) => kind)).toEqual(['forget-message', 'taken', 'hold']);
  });
});
