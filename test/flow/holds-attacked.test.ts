import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { textToDay } from '../../libs/base/day.ts';
import type { HoldId, MessageId, SubjectId } from '../../libs/base/ids.ts';
import { decodeRecord, encodeRecordKey } from '../../libs/codec/event-record.ts';
import { encodeHeader, encodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import { openEvents } from '../../libs/keyring/open-events.ts';
import type { PrivacyPowers } from '../../libs/wiring/powers.ts';
import { makeBackup } from '../../services/operations/backup.ts';
import { restore } from '../../services/operations/restore.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { PERSONAL, reacted, received, removed } from '../support/events.ts';
import { quietRestore } from '../support/friends.ts';
import {
  defaultConversationOf,
  groupOf,
  messagesOf,
  recordsOf,
  subjectOf,
  textsOf,
} from '../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../support/temporary-store.ts';

// Each of these was a way round a hold, found by attacking the first form of it.

const YEAR = { fromDay: textToDay('2024-01-01'), toDay: textToDay('2024-12-31') };
const in2024 = { time: '2024-06-01T12:00:00.000Z' };
const privacyOf = (store: TestStore) => createPrivacy(store.backends.privacy());
const groupTexts = async (store: TestStore) => textsOf(store, await groupOf(store));

async function openCase(): Promise<TestStore> {
  const store = await openTestStore();
  await store.deliver(
    received('ann', 'ann 2024', { id: 'a1', ...in2024 }),
    received('ben', 'ben 2025', { id: 'b1' }),
    received('cem', 'cem 2025', { id: 'c1' }),
    received('ann', 'ann alone', { id: 'a2', conversation: PERSONAL }),
  );
  return store;
}

async function holdOn(store: TestStore, subject: SubjectId): Promise<HoldId> {
  const outcome = await privacyOf(store).hold(store.app.id, subject);
  if (outcome.status !== 'held') throw new Error(outcome.status);
  return outcome.hold;
}

/** Powers of a worker that is stopped right before, or fails right at, one step. */
function brokenAt<Power extends 'keyringShred' | 'holders'>(
  store: TestStore,
  power: Power,
  at: Partial<PrivacyPowers[Power]>,
): PrivacyPowers {
  const powers = store.backends.privacy();
  return { ...powers, [power]: { ...powers[power], ...at } };
}

describe('a hold that is asked for while something is under way', () => {
  it('does not undo what has begun: it is finished, and then the hold is granted', async () => {
    const store = await openCase();
    const { id } = store.app;
    const ann = await subjectOf(store, 'ann');
    const alone = await defaultConversationOf(store, 'ann');
    // The clear has fenced its place when its process ends.
    const dying = brokenAt(store, 'holders', {
      passHolders: () => Promise.reject(new Error('killed')),
    });
    await expect(createPrivacy(dying).clearConversation(id, alone)).rejects.toThrow('killed');
    const [held] = await Promise.all([
      privacyOf(store).hold(id, ann),
      runOpenRequests(store.backends.privacy()),
    ]);
    expect(held.status).toBe('held');
    const { requests } = store.backends.privacy();
    expect(await requests.open(10)).toEqual([]);
    expect((await requests.afterlives()).map((one) => one.kind)).toEqual(['clear-conversation']);
  });

  it('is not passed by a worker that slept over it: its request was refused, and takes nothing', async () => {
    const store = await openCase();
    const { id } = store.app;
    const ann = await subjectOf(store, 'ann');
    const alone = await defaultConversationOf(store, 'ann');
    const powers = store.backends.privacy();
    const other = await openAt(store.folder, {}, id);
    // It has looked for holds and sleeps; meanwhile one is written, and another worker refuses it.
    const add: PrivacyPowers['erasures']['add'] = async (listed, since) => {
      const hold = other.backends.privacy().keyringHold.hold(id, ann, 'ab'.repeat(16) as HoldId);
      expect(await hold).toBe('held');
      await runOpenRequests(other.backends.privacy()).catch(() => undefined);
      return powers.erasures.add(listed, since);
    };
    const sleeping = { ...powers, erasures: { ...powers.erasures, add } };
    const outcome = await createPrivacy(sleeping).clearConversation(id, alone);
    expect(outcome.status).toBe('refused');
    expect(await textsOf(store, alone)).toEqual(['ann alone']);
  });

  it('tells its id when something does not end, and is granted or released by that id', async () => {
    const store = await openCase();
    const { id } = store.app;
    const ann = await subjectOf(store, 'ann');
    const hold = 'cd'.repeat(16) as HoldId;
    const { keyringHold } = store.backends.privacy();
    expect(await keyringHold.hold(id, ann, hold)).toBe('held');
    expect(await privacyOf(store).hold(id, ann, hold)).toEqual({ status: 'held', hold });
    await privacyOf(store).release(id, ann, hold);
    expect(await keyringHold.areHeld(id, [ann])).toEqual([false]);
    expect((await privacyOf(store).eraseSubject(id, ann)).status).toBe('done');
  });
});

describe('a hold on one of several who were merged', () => {
  it('holds all of them, and what it kept of all of them goes with it', async () => {
    const store = await openCase();
    const { id } = store.app;
    const privacy = privacyOf(store);
    const [ann, ben, cem] = [
      await subjectOf(store, 'ann'),
      await subjectOf(store, 'ben'),
      await subjectOf(store, 'cem'),
    ];
    const hold = await holdOn(store, cem);
    await privacy.merge(id, ann, ben);
    await privacy.merge(id, ben, cem);
    const alone = await defaultConversationOf(store, 'ann');
    expect((await privacy.clearConversation(id, alone)).status).toBe('refused');
    expect((await privacy.eraseSubject(id, ann)).status).toBe('refused');
    await privacy.forgetDays(id, YEAR);
    expect(await groupTexts(store)).toContain('ann 2024');
    await privacy.release(id, cem, hold);
    expect(await groupTexts(store)).not.toContain('ann 2024');
    const cold = await openAt(store.folder, {}, id);
    expect(await groupTexts(cold)).not.toContain('ann 2024');
    expect((await privacy.eraseSubject(id, ann)).status).toBe('done');
  });

  it('loses against an erasure of them that has begun, wholly', async () => {
    const store = await openCase();
    const { id } = store.app;
    const privacy = privacyOf(store);
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    await privacy.merge(id, ann, ben);
    const { keyringShred, keyringHold } = store.backends.privacy();
    let held: unknown;
    const racing = brokenAt(store, 'keyringShred', {
      async shred(refs, erasure, evenHeld) {
        await keyringShred.shred(refs, erasure, evenHeld);
        held ??= await keyringHold.hold(id, ben, 'ef'.repeat(16) as HoldId);
      },
    });
    expect((await createPrivacy(racing).eraseSubject(id, ann)).status).toBe('done');
    expect(held).toBe('erased');
    await store.project();
    expect(await groupTexts(store)).toEqual([null, null, 'cem 2025']);
    for (const name of ['ann', 'ben'])
      await expect(subjectOf(store, name)).rejects.toThrow('nobody');
  });

  it('is finished when the process that merged them ended in the middle', async () => {
    const store = await openCase();
    const { id } = store.app;
    const [ann, ben] = [await subjectOf(store, 'ann'), await subjectOf(store, 'ben')];
    const vault = store.backends.vaultStore();
    const { commit } = vault;
    let commits = 0;
    vault.commit = async (batches) => {
      commits += 1;
      if (commits === 2) throw new Error('killed');
      return commit.call(vault, batches);
    };
    await expect(privacyOf(store).merge(id, ann, ben)).rejects.toThrow('killed');
    vault.commit = commit;
    await runOpenRequests(store.backends.privacy());
    const { keyringHold } = store.backends.privacy();
    for (const one of [ann, ben]) {
      expect((await keyringHold.mergedWith(id, one)).toSorted()).toEqual([ann, ben].toSorted());
    }
  });

  it('is not made with somebody who never was: nothing changes', async () => {
    const store = await openCase();
    const ann = await subjectOf(store, 'ann');
    const nobody = ann.slice(0, 4) + '0'.repeat(28);
    expect(await privacyOf(store).merge(store.app.id, ann, nobody as SubjectId)).toBe('absent');
    expect(await groupTexts(store)).not.toContain(null);
  });
});

describe('a hold and the views', () => {
  it('keeps a message that its channel takes away before it is in the views', async () => {
    const store = await openCase();
    const ann = await subjectOf(store, 'ann');
    await holdOn(store, ann);
    const { project } = store;
    // The projector is behind: message and removal are both on the log only.
    const silent = { ...store, project: async () => undefined };
    Object.assign(store, silent);
    await store.deliver(received('ann', 'evidence', { id: 'e1' }), removed('e1'));
    Object.assign(store, { project });
    await Promise.allSettled([
      runOpenRequests(store.backends.privacy()),
      new Promise((resolve) => setTimeout(resolve, 300)).then(() => store.project()),
    ]);
    expect(await groupTexts(store)).toContain('evidence');
  });

  it('is not passed by a forged copy of a message that says it is somebody else’s', async () => {
    const store = await openCase();
    const ann = await subjectOf(store, 'ann');
    await holdOn(store, ann);
    const group = await groupOf(store);
    const message = (await messagesOf(store, group))[0]!.id as MessageId;
    const records = await Array.fromAsync(recordsOf(store));
    const events = records.map(({ key, value }) => decodeRecord(key, value));
    const hers = events.find(({ header }) => header.thing === message)!;
    expect(hers.header.owner).toBe(ann);
    const ben = await subjectOf(store, 'ben');
    // Whoever may write to the topic needs no key for a header that lies.
    const header = { ...hers.header, attempt: 2, owner: ben };
    const { nonce, ciphertext, tag } = hers;
    const value = encodeSealedEvent({ headerBytes: encodeHeader(header), nonce, ciphertext, tag });
    await store.backends.projector().log.append([{ key: encodeRecordKey(header), value }]);
    await store.project();
    const forgetting = privacyOf(store).forgetMessage(store.app.id, group, message);
    await expect(forgetting).rejects.toMatchObject({ code: 'EVENT_TAMPERED' });
    const { keyring, sealer } = store.backends.privacy();
    expect((await openEvents({ keyring, sealer }, [hers]))[0]).toBeDefined();
  });
});

describe('a group', () => {
  it('whose last member is erased stays while somebody is held who only reacted there', async () => {
    const store = await openTestStore();
    await store.deliver(
      received('ann', 'words', { id: 'a1' }),
      received('dan', 'dan alone', { id: 'd1', conversation: PERSONAL }),
    );
    await store.deliver(reacted('dan', 'a1', '👍', { id: 'r1' }));
    const group = await groupOf(store);
    await holdOn(store, await subjectOf(store, 'dan'));
    await privacyOf(store).eraseSubject(store.app.id, await subjectOf(store, 'ann'));
    await store.project();
    const { directory } = store.backends.reader();
    expect(typeof (await directory.conversations(store.app.id, [group]))[0]).toBe('object');
    expect(await textsOf(store, group)).toEqual([null]);
  });
});

describe('an erasure that was listed when its process ended, and then met a hold', () => {
  async function refuse() {
    const store = await openCase();
    const ann = await subjectOf(store, 'ann');
    const backup = await makeBackup(store, join(store.folder, 'kept'), Date.now());
    const powers = store.backends.privacy();
    const record = () => Promise.reject(new Error('killed'));
    const dying = { ...powers, requests: { ...powers.requests, record } };
    const erasing = createPrivacy(dying).eraseSubject(store.app.id, ann);
    await expect(erasing).rejects.toThrow('killed');
    const holding = holdOn(store, ann);
    await expect.poll(() => powers.keyringHold.heldSubjects(store.app.id)).toEqual([ann]);
    await expect(runOpenRequests(powers)).rejects.toMatchObject({ code: 'HELD' });
    return { store, ann, backup, hold: await holding };
  }

  it('is not carried out by a restore', async () => {
    const { store, ann, backup } = await refuse();
    await store.ingest.close();
    await store.backends.close();
    rmSync(join(store.folder, 'data'), { recursive: true });
    await restore(store.configuration, backup.folder, quietRestore);
    const after = await openAt(store.folder, {}, store.app.id);
    expect(await groupTexts(after)).toContain('ann 2024');
    expect(await after.backends.privacy().keyringHold.areHeld(store.app.id, [ann])).toEqual([true]);
  });

  it('is not carried out by a turn either, nor after the hold has ended', async () => {
    const { store, ann, hold } = await refuse();
    const told: string[] = [];
    await turnEpoch(store, (step) => told.push(step));
    expect(told.join()).not.toContain('there again');
    await privacyOf(store).release(store.app.id, ann, hold);
    await turnEpoch(store);
    expect(await groupTexts(store)).toContain('ann 2024');
    expect((await privacyOf(store).eraseSubject(store.app.id, ann)).status).toBe('done');
  });
});

describe('a restore', () => {
  async function lose(store: TestStore): Promise<void> {
    await store.ingest.close();
    await store.backends.close();
    rmSync(join(store.folder, 'data'), { recursive: true });
  }

  it('erases again who was erased after a hold had ended that the backup still has', async () => {
    const store = await openCase();
    const { id } = store.app;
    const ann = await subjectOf(store, 'ann');
    const hold = await holdOn(store, ann);
    const backup = await makeBackup(store, join(store.folder, 'kept'), Date.now());
    await privacyOf(store).release(id, ann, hold);
    await privacyOf(store).eraseSubject(id, ann);
    await lose(store);
    await restore(store.configuration, backup.folder, quietRestore);
    const after = await openAt(store.folder, {}, id);
    expect(await groupTexts(after)).toEqual([null, 'ben 2025', 'cem 2025']);
  });

  it('puts a hold back that came after the backup, before the cut that came after it', async () => {
    const store = await openCase();
    const { id } = store.app;
    const ann = await subjectOf(store, 'ann');
    const backup = await makeBackup(store, join(store.folder, 'kept'), Date.now());
    await holdOn(store, ann);
    await privacyOf(store).forgetDays(id, YEAR);
    await lose(store);
    await restore(store.configuration, backup.folder, quietRestore);
    const after = await openAt(store.folder, {}, id);
    expect(await groupTexts(after)).toEqual(['ann 2024', 'ben 2025', 'cem 2025']);
    expect((await privacyOf(after).eraseSubject(id, ann)).status).toBe('refused');
  });
});
