import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DAY_MS } from '../../libs/base/day.ts';
import type { AppId, LossId, RequestId, SubjectId } from '../../libs/base/ids.ts';
import { makeBackup } from '../../services/operations/backup.ts';
import { restore } from '../../services/operations/restore.ts';
import { reclaimDue } from '../../services/operations/upkeep.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { carryOut } from '../../services/privacy/life/carry-out.ts';
import {
  createSilenceWatch,
  runOpenRequests,
  runRequestWorker,
} from '../../services/privacy/life/request-worker.ts';
import { PERSONAL, received, removed } from '../support/events.ts';
import { groupOf, messagesOf, subjectOf, textsOf } from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

/** Records what a newer version's door would. */
async function addUnknown(
  store: TestStore,
  app: AppId,
  id = 'f'.repeat(32) as RequestId,
): Promise<void> {
  await store.backends.privacy().requests.add({
    id,
    loss: id as string as LossId,
    app,
    kind: 'of a newer version' as never,
    target: {} as never,
    step: 'received',
    receivedAtMs: 0,
    changedAtMs: 0,
  });
}

describe('requests', () => {
  it('a request of an unknown kind stays open, and holds up nothing else', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'oops', { id: 'a' }));
    const powers = store.backends.privacy();
    await addUnknown(store, store.app.id);
    await store.deliver(removed('a'));
    const unknown: string[] = [];
    const onUnknown = ({ kind }: { kind: string }) => unknown.push(kind);
    expect(await runOpenRequests(powers, { onUnknown })).toBe(1);
    expect(unknown).toEqual(['of a newer version']);
    expect(await textsOf(store, await groupOf(store))).toEqual([null]);
    expect((await powers.requests.open(10)).length).toBe(1);
  });

  it('more requests of unknown kinds than one look takes do not hide what is behind them', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'oops', { id: 'a' }));
    for (let i = 0; i < 250; i += 1) {
      await addUnknown(store, store.app.id, i.toString(16).padStart(32, '0') as RequestId);
    }
    await store.deliver(removed('a'));
    expect(await runOpenRequests(store.backends.privacy())).toBe(1);
    expect(await textsOf(store, await groupOf(store))).toEqual([null]);
  });

  it('a request of an unknown kind whose app is gone is never listed as carried out', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'oops', { id: 'a' }));
    const powers = store.backends.privacy();
    await addUnknown(store, 'e'.repeat(32) as AppId);
    await store.deliver(removed('a'));
    const all = await powers.requests.open(10);
    const carried = await carryOut(powers, all);
    expect(carried.map((one) => 'failure' in one).toSorted()).toEqual([false, true]);
    const listed = await powers.erasures.read();
    expect(listed.map(({ kind }) => kind)).toEqual(['forget-message', 'taken']);
    expect(await textsOf(store, await groupOf(store))).toEqual([null]);
  });

  it('a worker reports a request of an unknown kind once', async () => {
    const store = await openTestStore();
    await addUnknown(store, store.app.id);
    const failures: unknown[] = [];
    const ending = AbortSignal.timeout(1_000);
    await runRequestWorker(store.backends.privacy(), ending, (error) => failures.push(error));
    expect(failures).toEqual([expect.objectContaining({ code: 'FORMAT_UNKNOWN' })]);
  });

  it('while a request of an unknown kind is open, nothing of its app is reclaimed', async () => {
    let aheadMs = 0;
    const store = await openTestStore({ clock: { nowMs: () => Date.now() + aheadMs } });
    await store.deliver(received('ann', 'hers', { id: 'a', conversation: PERSONAL }));
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.eraseSubject(store.app.id, await subjectOf(store, 'ann'));
    await addUnknown(store, store.app.id);
    aheadMs = 40 * DAY_MS;
    const { requests } = store.backends.privacy();
    expect(await reclaimDue(store)).toMatchObject({ losses: 0, records: 0, waiting: 1, kept: 1 });
    expect(await requests.afterlives()).toMatchObject([{ reclaimedAtMs: null }]);
    await requests.drop('f'.repeat(32) as RequestId);
    const done = await reclaimDue(store);
    expect(done).toMatchObject({ losses: 1, waiting: 0, kept: 0 });
    expect(done.records).toBeGreaterThan(0);
  });

  it('a backup with an open request of an unknown kind is restored, and says so', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words', { id: 'a' }));
    await addUnknown(store, store.app.id);
    const backups = join(store.folder, 'mine');
    await makeBackup(store, backups, Date.now());
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    const quiet = {
      isNewerRemoved: false,
      erasuresHead: 'any' as const,
      onProgress: () => undefined,
    };
    const restored = await restore(store.configuration, backups, quiet);
    expect(restored.left).toEqual([expect.stringContaining('of a newer version')]);
    const back = await openAt(store.folder, {}, store.app.id);
    expect((await back.backends.privacy().requests.open(10)).length).toBe(1);
  });

  it('a list of erasures with a newer kind refuses a restore before anything is done', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words', { id: 'a', conversation: PERSONAL }));
    const backups = join(store.folder, 'mine');
    await makeBackup(store, backups, Date.now());
    const privacy = createPrivacy(store.backends.privacy());
    await privacy.eraseSubject(store.app.id, await subjectOf(store, 'ann'));
    const { erasures } = store.backends.privacy();
    const id = 'f'.repeat(32) as RequestId;
    const kind = 'of a newer version' as never;
    await erasures.add([{ id, app: store.app.id, kind, target: {} as never, atMs: 0 }]);
    const folder = store.configuration.erasuresFolder;
    const before = readdirSync(folder);
    expect(before.length).toBe(3);
    await store.ingest.close();
    await store.backends.close();
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost'));
    const quiet = {
      isNewerRemoved: false,
      erasuresHead: 'any' as const,
      onProgress: () => undefined,
    };
    const restoring = restore(store.configuration, backups, quiet);
    await expect(restoring).rejects.toMatchObject({ code: 'FORMAT_UNKNOWN' });
    expect(readdirSync(folder)).toEqual(before);
  });

  it('a finished request stays finished, whatever a slower worker records', async () => {
    const store = await openTestStore();
    const { requests } = store.backends.privacy();
    const id = 'a'.repeat(32) as RequestId;
    const times = { receivedAtMs: 0, changedAtMs: 0 };
    const kind = 'erase-subject' as const;
    const target = { subject: 'b'.repeat(32) as SubjectId };
    const loss = id as string as LossId;
    const request = {
      id,
      loss,
      app: store.app.id,
      kind,
      target,
      step: 'received' as const,
      ...times,
    };
    await requests.add(request);
    await requests.finish(request, { nowMs: 1, keepsTarget: false, afterTurn: 0 });
    await requests.record(request, 'shred', 2);
    expect(await requests.open(10)).toEqual([]);
  });

  it('forgetting many messages does not push the clock ahead of time', async () => {
    const store = await openTestStore();
    await store.deliver(...Array.from({ length: 20 }, (_, i) => received('ann', `${i}`)));
    const group = await groupOf(store);
    const privacy = createPrivacy(store.backends.privacy());
    for (const message of await messagesOf(store, group)) {
      await privacy.forgetMessage(store.app.id, group, message.id as never);
    }
    const clock = await store.backends.privacy().recordingClock();
    expect(clock.latestMs() - Date.now()).toBeLessThan(60_000);
  });

  it('that a process began whose clock was a month ahead is finished when it gives no sign', async () => {
    let aheadMs = 30 * 24 * 3_600_000;
    const store = await openTestStore({ clock: { nowMs: () => Date.now() + aheadMs } });
    await store.deliver(received('ann', 'hers', { id: 'a' }), received('ben', 'his', { id: 'b' }));
    const powers = store.backends.privacy();
    const passHolders = () => Promise.reject(new Error('killed'));
    const dying = { ...powers, holders: { ...powers.holders, passHolders } };
    const erasing = createPrivacy(dying).eraseSubject(store.app.id, await subjectOf(store, 'ann'));
    await expect(erasing).rejects.toThrow('killed');
    aheadMs = 0;
    let monotonicMs = 0;
    const isInterrupted = createSilenceWatch({ monotonicMs: () => monotonicMs }, 10_000);
    expect(await runOpenRequests(powers, { isInterrupted })).toBe(0);
    monotonicMs = 9_999;
    expect(await runOpenRequests(powers, { isInterrupted })).toBe(0);
    monotonicMs = 10_000;
    expect(await runOpenRequests(powers, { isInterrupted })).toBe(1);
  });
});
