import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createSystemRandomness } from '../../../../libs/base/random.ts';
import { openRootKmsLocal } from '../../../../libs/vault/keys/local/root-kms-local.ts';
import { keysWaitedFor, reachedT1 } from '../../../../libs/vault/turn/epoch-t1.ts';
import { originTurn } from '../../../../libs/vault/turn/origin-turn.ts';
import { makeBackup } from '../../../../services/operations/backup.ts';
import { restore } from '../../../../services/operations/restore.ts';
import { settleEpoch, turnEpoch } from '../../../../services/operations/turn-epoch.ts';
import { reclaimDue } from '../../../../services/operations/upkeep.ts';
import { createPrivacy } from '../../../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../../../support/events.ts';
import { copyFiles, openCopy } from '../../../support/old-copies.ts';
import { defaultConversationOf, subjectOf, textsOf } from '../../../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../../../support/temporary-store.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;

/** A store in which ann and ben have written, and a clock that can be set. */
async function openClocked() {
  let aheadMs = 0;
  const clock = { nowMs: () => Date.now() + aheadMs };
  const store = await openTestStore({ clock });
  await store.deliver(
    received('ann', 'hers', { id: '1', conversation: PERSONAL }),
    received('ben', 'his', { id: '2', conversation: PERSONAL }),
  );
  const set = (milliseconds: number) => {
    aheadMs = milliseconds;
  };
  return { store, set };
}

/** Erases somebody; the id of the erasure. */
async function erase(store: TestStore, name: string) {
  const privacy = createPrivacy(store.backends.privacy());
  const erased = await privacy.eraseSubject(store.app.id, await subjectOf(store, name));
  if (erased.status !== 'done') throw new Error(erased.status);
  await store.project();
  return erased.erasure;
}

/** When T1 was told of a loss; null: it was not. */
async function toldT1(store: TestStore, id: Awaited<ReturnType<typeof erase>>) {
  await settleEpoch(store);
  return (await store.backends.privacy().requests.afterlife(id))!.t1AtMs;
}

/** Does a stolen copy of the vault open somebody's words with the key folder of now? */
async function opensWith(store: TestStore, copy: string, name: string): Promise<boolean> {
  const conversation = await defaultConversationOf(store, name);
  const backends = await openCopy(store, copy).catch(() => undefined);
  if (backends === undefined) return false;
  const texts = await textsOf({ ...store, backends }, conversation);
  await backends.close();
  return texts.some((text) => text !== null);
}

describe('S57 a turn', () => {
  it('refuses to end a key that was made for another store, and changes nothing', async () => {
    const { store } = await openClocked();
    const { kmsKey } = await store.backends.epoch().status();
    // As a copy of the files is that another store was made of.
    await store.backends.renewFeed();
    await expect(turnEpoch(store)).rejects.toThrow(`the key ${kmsKey} was made for another store`);
    expect(await store.backends.epoch().rootKeyState()).toBe('usable');
  });
});

describe('S49 T1 is told only when no copy opens', () => {
  it('of who was erased after a turn that was made with a clock an hour ahead', async () => {
    const { store, set } = await openClocked();
    set(HOUR_MS);
    await turnEpoch(store);
    set(0);
    const copy = copyFiles(store, 'stolen');
    const conversation = await defaultConversationOf(store, 'ann');
    const ann = await erase(store, 'ann');
    expect(await toldT1(store, ann)).toBeNull();
    const early = await openCopy(store, copy);
    expect(await textsOf({ ...store, backends: early }, conversation)).toEqual(['hers']);
    await early.close();
    await turnEpoch(store);
    expect(await toldT1(store, ann)).not.toBeNull();
    await expect(openCopy(store, copy)).rejects.toMatchObject({ code: 'ROOT_KMS_DENIED' });
  });

  it('of who is erased while a turn runs, by a process whose clock is an hour behind', async () => {
    const { store, set } = await openClocked();
    await erase(store, 'ben');
    let ann: Awaited<ReturnType<typeof erase>> | undefined;
    await store.backends.epoch().turn({
      nowMs: () => Date.now(),
      async testBackup() {
        set(-HOUR_MS);
        ann = await erase(store, 'ann');
        set(0);
      },
    });
    expect(await toldT1(store, ann!)).toBeNull();
    await turnEpoch(store);
    expect(await toldT1(store, ann!)).not.toBeNull();
  });

  it('and is told, with its reclaim, of an erase that was made with a clock a year ahead', async () => {
    const { store, set } = await openClocked();
    set(YEAR_MS);
    const ann = await erase(store, 'ann');
    set(0);
    await turnEpoch(store);
    expect(await toldT1(store, ann)).not.toBeNull();
    await reclaimDue(store);
    const { horizonDays } = store.backends.privacy();
    set((horizonDays + 2) * 24 * HOUR_MS);
    const { losses } = await reclaimDue(store);
    expect(losses).toBe(1);
  });

  it('of a restored store for no app that the original’s last turn did not cover', () => {
    const id = 'a'.repeat(32) as never;
    const last = { oldKmsKey: id, newKmsKey: id, number: 3, failedApps: [id], t1AtMs: 1 };
    const record = { id, step: 'done' as const, startedAtMs: 0, runner: '', aliveAtMs: 0 };
    const turn = originTurn(
      { randomness: createSystemRandomness() },
      {
        last: { ...last, ...record, buckets: 0, rows: 0 },
        oldKmsKey: id,
        newKmsKey: id,
        original: { store: 'x', isEnding: false },
        nowMs: 1,
      },
    );
    expect(keysWaitedFor(turn)).toMatchObject([{ number: 3, failedApps: [id] }]);
  });

  it('of a restored store not before the keys of its original are gone', async () => {
    const { store } = await openClocked();
    const backups = join(store.folder, 'mine');
    const copy = copyFiles(store, 'stolen');
    await makeBackup(store, backups, Date.now());
    await store.ingest.close();
    await store.backends.close();
    mkdirSync(join(store.folder, 'lost'));
    renameSync(join(store.folder, 'data'), join(store.folder, 'lost/data'));
    await restore(store.configuration, backups, {
      isNewerRemoved: false,
      erasuresHead: 'any',
      onProgress: () => undefined,
    });
    const again = await openAt(store.folder, {}, store.app.id);
    const ann = await erase(again, 'ann');
    const { turn } = await turnEpoch(again);
    expect(reachedT1(turn)).toBeNull();
    expect(await toldT1(again, ann)).toBeNull();
    expect(await opensWith(again, copy, 'ben')).toBe(true);
    const status = await again.backends.epoch().status();
    expect(status.keysOfOriginals.length).toBe(1);
    const end = (folder: string) => {
      const kms = openRootKmsLocal({ folder, randomness: createSystemRandomness() });
      return again.backends.epoch().endOriginals(kms, { nowMs: Date.now(), evenCopies: false });
    };
    // A folder that never had the key says nothing of where it is.
    await expect(end(join(store.folder, 'another'))).rejects.toThrow('does not know the key');
    expect(await toldT1(again, ann)).toBeNull();
    const openedUntilMs = Date.now();
    expect(await end(join(store.folder, 'keys'))).toMatchObject({ pending: [] });
    expect(await toldT1(again, ann)).toBeGreaterThanOrEqual(openedUntilMs);
    expect(await opensWith(again, copy, 'ben')).toBe(false);
    expect((await textsOf(again, await defaultConversationOf(again, 'ben')))[0]).toBe('his');
    onTestFinished(() => again.backends.close());
  });
});
