import { describe, expect, it } from 'vitest';
import { THING_DEPTH, thingPath } from '../../../../libs/sealing/tree-path.ts';
import { bucketKeyRow, PREVIOUS_KINDS } from '../../../../libs/vault/rows/key-slots.ts';
import { rowKinds, type VaultRow } from '../../../../libs/vault/rows/vault-store.ts';
import { createApp } from '../../../../services/operations/create-app.ts';
import { revokeKey } from '../../../../services/operations/revoke-key.ts';
import { createPrivacy } from '../../../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../../../support/events.ts';
import { copyFiles, joinCopies, openCopy } from '../../../support/old-copies.ts';
import {
  defaultConversationOf,
  groupOf,
  placeRingOf,
  subjectOf,
  textsOf,
} from '../../../support/reading.ts';
import { openAt, openTestStore, type TestStore } from '../../../support/temporary-store.ts';

const nowMs = () => Date.now();
// Runs are a minute apart, so that one that died counts as silent.
let later = 0;
const turn = (store: TestStore) => {
  later += 120_000;
  return store.backends.epoch().turn({ nowMs: () => nowMs() + later });
};

async function erase(store: TestStore, name: string): Promise<void> {
  await createPrivacy(store.backends.privacy()).eraseSubject(
    store.app.id,
    await subjectOf(store, name),
  );
  await store.project();
}

/** A store in which ann, ben and cem have written to each other, and ann alone. */
async function openFriends(): Promise<TestStore> {
  const store = await openTestStore();
  await store.deliver(
    received('ann', 'hers', { id: '1' }),
    received('ben', 'his', { id: '2' }),
    received('cem', 'theirs', { id: '3' }),
    received('ann', 'secret', { id: '4', conversation: PERSONAL }),
  );
  return store;
}

/** Lets commits fail, for the reason given for what they write; the result mends it. */
function breakCommits(
  store: TestStore,
  reasonFor: (written: { puts: VaultRow[]; removals: readonly unknown[] }) => string | undefined,
): () => void {
  const vault = store.backends.vaultStore();
  const { commit } = vault;
  vault.commit = async (batches) => {
    const puts = batches.flatMap((batch) => batch.puts ?? []);
    const removals = batches.flatMap((batch) => batch.removals ?? []);
    const reason = reasonFor({ puts, removals });
    if (reason !== undefined) throw new Error(reason);
    return commit.call(vault, batches);
  };
  return () => {
    vault.commit = commit;
  };
}

/** Rows of the store's app that a turn wraps anew. */
const isOfApp = ({ app }: TestStore) => {
  return (row: VaultRow) => row.app === app.id && row.kind >= rowKinds.appRing;
};

describe('a turn of the epoch', () => {
  it('leaves everybody who was not erased readable, before and after, in every process', async () => {
    const store = await openFriends();
    const other = await openAt(store.folder, {}, store.app.id);
    await erase(store, 'ann');
    const group = await groupOf(store);
    const expected = [null, 'his', 'theirs'];
    expect(await textsOf(other, group)).toEqual(expected);
    const done = await turn(store);
    expect(done).toMatchObject({ step: 'done', failedApps: [] });
    expect(done.buckets).toBeGreaterThan(0);
    expect(done.rows).toBeGreaterThan(0);
    expect(done.t1AtMs).not.toBeNull();
    expect(await textsOf(store, group)).toEqual(expected);
    expect(await textsOf(other, group)).toEqual(expected);
    const cold = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(cold, group)).toEqual(expected);
    expect(await store.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  });

  it('S10 S11 a copy of the vault from before opens nobody with today’s KMS', async () => {
    const store = await openFriends();
    const conversation = await defaultConversationOf(store, 'ann');
    const before = copyFiles(store, 'copy-1');
    await erase(store, 'ann');
    // Until the turn is finished, the truth is that it opens what it held.
    const early = await openCopy(store, before);
    const opened = await textsOf({ ...store, backends: early }, conversation);
    expect(opened).toEqual(['secret']);
    await early.close();
    const between = copyFiles(store, 'copy-2');
    await turn(store);
    for (const folder of [before, between]) {
      await expect(openCopy(store, folder)).rejects.toMatchObject({ code: 'ROOT_KMS_DENIED' });
    }
  });

  it('S09 an app without any erasure lives through three turns', async () => {
    const store = await openFriends();
    const group = await groupOf(store);
    for (let round = 0; round < 3; round += 1) {
      await turn(store);
      const cold = await openAt(store.folder, {}, store.app.id);
      expect(await textsOf(cold, group)).toEqual(['hers', 'his', 'theirs']);
    }
  });

  it('S07 S42 a writer that slept through it fails its write and repeats it under the new keys', async () => {
    const store = await openFriends();
    const other = await openAt(store.folder, {}, store.app.id);
    await other.deliver(received('dan', 'before', { id: '5' }));
    await erase(store, 'ann');
    await turn(store);
    await erase(store, 'ben');
    await turn(store);
    await other.deliver(
      received('dan', 'after', { id: '6' }),
      ...Array.from({ length: 40 }, (_, i) => received(`new-${i}`, 'hello', { id: `n-${i}` })),
    );
    const cold = await openAt(store.folder, {}, store.app.id);
    const texts = await textsOf(cold, await groupOf(cold));
    expect(texts).toContain('after');
    expect(texts.filter((text) => text === 'hello').length).toBe(40);
    expect(await cold.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  });

  it('S08 runs beside writers and erasures, and nobody is lost', async () => {
    const store = await openFriends();
    const other = await openAt(store.folder, {}, store.app.id);
    await erase(store, 'ann');
    let delivered = 0;
    const writing = (async () => {
      for (let i = 0; i < 30; i += 1) {
        const from = `writer-${i % 7}`;
        const [outcome] = await other.deliver(received(from, `text ${i}`, { id: `w-${i}` }));
        if (outcome!.status === 'accepted') delivered += 1;
      }
    })();
    await turn(store);
    await erase(store, 'ben');
    await turn(store);
    await writing;
    expect(delivered).toBe(30);
    const cold = await openAt(store.folder, {}, store.app.id);
    const texts = await textsOf(cold, await groupOf(cold));
    expect(texts.filter((text) => text?.startsWith('text')).length).toBe(30);
    expect(await cold.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  });

  it('that was interrupted after any commit is finished by running it again', async () => {
    for (let left = 1; left < 200; left += 3) {
      const store = await openFriends();
      await erase(store, 'ann');
      const vault = store.backends.vaultStore();
      const { commit } = vault;
      let count = left;
      vault.commit = async (batches) => {
        count -= 1;
        if (count <= 0) throw new Error('the process ends here');
        return commit.call(vault, batches);
      };
      const first = await turn(store).then(
        () => 'done',
        (error: Error) => error.message,
      );
      vault.commit = commit;
      if (first !== 'done') {
        const cold = await openAt(store.folder, {}, store.app.id);
        expect(await textsOf(cold, await groupOf(cold))).toEqual([null, 'his', 'theirs']);
        expect(await turn(cold)).toMatchObject({ step: 'done', failedApps: [] });
      }
      const after = await openAt(store.folder, {}, store.app.id);
      expect(await textsOf(after, await groupOf(after))).toEqual([null, 'his', 'theirs']);
      expect(await after.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
      if (first === 'done') return;
    }
    throw new Error('the turn never ended');
  });

  it('S38 an app that fails is named, keeps its keys, and delays no other; the next turn takes it', async () => {
    const store = await openFriends();
    const other = await createApp(store.backends.administration(), { name: 'other', buckets: 4 });
    await erase(store, 'ann');
    const vault = store.backends.vaultStore();
    const { commit } = vault;
    let isBroken = true;
    vault.commit = async (batches) => {
      const puts = batches.flatMap((batch) => batch.puts ?? []);
      // The first bucket of the app cannot be wrapped anew.
      const isOwn = puts.some(({ app, kind }) => app === store.app.id && kind >= 11);
      if (isBroken && isOwn) throw new Error('this app fails');
      return commit.call(vault, batches);
    };
    const done = await turn(store);
    expect(done).toMatchObject({ step: 'done', failedApps: [store.app.id] });
    expect(done.failedApps).not.toContain(other.id);
    isBroken = false;
    for (let round = 0; round < 2; round += 1) {
      const cold = await openAt(store.folder, {}, store.app.id);
      expect(await textsOf(cold, await groupOf(cold))).toEqual([null, 'his', 'theirs']);
      expect(await turn(cold)).toMatchObject({ step: 'done', failedApps: [] });
    }
    expect(await store.backends.vaultCheck()).toMatchObject({ tampered: 0 });
  });

  it('S38 the turn after one that failed for an app gives its buckets new keys, interrupted or not', async () => {
    for (const isInterrupted of [false, true]) {
      const store = await openFriends();
      await erase(store, 'ann');
      const vault = store.backends.vaultStore();
      const mendApp = breakCommits(store, ({ puts }) => {
        return puts.some(isOfApp(store)) ? 'this app fails' : undefined;
      });
      expect(await turn(store)).toMatchObject({ step: 'done', failedApps: [store.app.id] });
      mendApp();
      await erase(store, 'ben');
      const marked = await vault.dirtyBuckets();
      expect(marked.length).toBeGreaterThan(0);
      const keysOf = async () => {
        const rows = await vault.read(marked.map(({ app, bucket }) => bucketKeyRow(app, bucket)));
        return rows.map((row) => row!.ownKey);
      };
      const before = await keysOf();
      if (isInterrupted) {
        // It fails for the app once more, and the process dies when it keeps that app's old root.
        const isKept = ({ kind, version }: VaultRow) => {
          return kind === rowKinds.appRootPrevious && version > 1;
        };
        const mend = breakCommits(store, ({ puts }) => {
          if (puts.some(isKept)) return 'the process ends here';
          return puts.some(isOfApp(store)) ? 'this app fails' : undefined;
        });
        await expect(turn(store)).rejects.toThrow('ends here');
        mend();
      }
      const next = await openAt(store.folder, {}, store.app.id);
      if (isInterrupted) {
        // Its root was wrapped by the new one of the store already: it is named, and waits.
        expect(await turn(next)).toMatchObject({ step: 'done', failedApps: [store.app.id] });
      }
      expect(await turn(next)).toMatchObject({ step: 'done', failedApps: [] });
      for (const [i, key] of (await keysOf()).entries()) expect(key).not.toBe(before[i]);
      expect(await vault.dirtyBuckets()).toEqual([]);
      expect(await textsOf(next, await groupOf(next))).toEqual([null, null, 'theirs']);
      for (const kind of PREVIOUS_KINDS) {
        for await (const row of vault.scan(kind)) expect(row).toBeUndefined();
      }
    }
  });

  it('S38 names an app that failed also when the turn was interrupted after it', async () => {
    const store = await openFriends();
    await erase(store, 'ann');
    const vault = store.backends.vaultStore();
    // The app gets no new root, and the process dies when it retires the old one of the store.
    const mend = breakCommits(store, ({ puts, removals }) => {
      if (puts.some(({ kind }) => kind === rowKinds.appRootPrevious)) return 'this app fails';
      return removals.length > 0 ? 'the process ends here' : undefined;
    });
    await expect(turn(store)).rejects.toThrow('ends here');
    mend();
    const next = await openAt(store.folder, {}, store.app.id);
    expect(await turn(next)).toMatchObject({ step: 'done', failedApps: [store.app.id] });
    expect(await vault.dirtyBuckets()).not.toEqual([]);
    expect(await turn(next)).toMatchObject({ step: 'done', failedApps: [] });
    expect(await vault.dirtyBuckets()).toEqual([]);
  });

  it('S38 does not take up an app again whose old root it has kept, when it was interrupted after that', async () => {
    const store = await openFriends();
    await erase(store, 'ann');
    const vault = store.backends.vaultStore();
    const mend = breakCommits(store, ({ puts, removals }) => {
      if (puts.some(isOfApp(store))) return 'this app fails';
      return removals.length > 0 ? 'the process ends here' : undefined;
    });
    await expect(turn(store)).rejects.toThrow('ends here');
    mend();
    const next = await openAt(store.folder, {}, store.app.id);
    expect(await turn(next)).toMatchObject({ step: 'done', failedApps: [store.app.id] });
    expect(await turn(next)).toMatchObject({ step: 'done', failedApps: [] });
    expect(await vault.dirtyBuckets()).toEqual([]);
    expect(await textsOf(next, await groupOf(next))).toEqual([null, 'his', 'theirs']);
  });

  it('leaves nothing marked of an app in which an access key was revoked, and nothing else lost', async () => {
    const store = await openTestStore();
    const powers = store.backends.administration();
    const given = { app: store.app.id, scope: 'app' as const, nowMs: Date.now() };
    await revokeKey(powers, (await powers.accessKeys.create(given)).id);
    expect((await store.backends.epoch().status()).dirtyBuckets).toBe(1);
    expect(await turn(store)).toMatchObject({ step: 'done', failedApps: [] });
    expect((await store.backends.epoch().status()).dirtyBuckets).toBe(0);
  });

  it('is gone on with by a process that knew the old keys, and nobody is lost', async () => {
    const store = await openFriends();
    const other = await openAt(store.folder, {}, store.app.id);
    const group = await groupOf(other);
    expect(await textsOf(other, group)).not.toContain(null);
    await erase(store, 'ann');
    const vault = store.backends.vaultStore();
    const { commit } = vault;
    vault.commit = async (batches) => {
      const puts = batches.flatMap((batch) => batch.puts ?? []);
      if (puts.some(({ kind }) => kind === rowKinds.bucketKeyPrevious)) {
        vault.commit = () => Promise.reject(new Error('the process ends here'));
      }
      return commit.call(vault, batches);
    };
    await expect(turn(store)).rejects.toThrow('ends here');
    expect(await turn(other)).toMatchObject({ step: 'done', failedApps: [] });
    const cold = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(cold, group)).toEqual([null, 'his', 'theirs']);
    expect(await cold.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  });

  it('is run by one process at a time', async () => {
    const store = await openFriends();
    const other = await openAt(store.folder, {}, store.app.id);
    await erase(store, 'ann');
    const at = nowMs();
    const both = await Promise.allSettled(
      [store, other].map((one) => one.backends.epoch().turn({ nowMs: () => at })),
    );
    expect(both.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected']);
    const cold = await openAt(store.folder, {}, store.app.id);
    expect(await textsOf(cold, await groupOf(cold))).toEqual([null, 'his', 'theirs']);
  });

  it('S11 copies from its middle open nothing of what it covers, alone or joined to older ones', async () => {
    const store = await openFriends();
    const conversation = await defaultConversationOf(store, 'ann');
    const before = copyFiles(store, 'before');
    await erase(store, 'ann');
    const vault = store.backends.vaultStore();
    const { commit } = vault;
    const copies: string[] = [];
    vault.commit = async (batches) => {
      const outcomes = await commit.call(vault, batches);
      copies.push(copyFiles(store, `middle-${copies.length}`));
      return outcomes;
    };
    await turn(store);
    vault.commit = commit;
    let opened = 0;
    const joined = copies.map((folder, i) =>
      joinCopies(store, [before, folder], {
        name: `joined-${i}`,
        keys: 'roots and keys of predecessors',
      }),
    );
    for (const folder of [...copies, ...joined]) {
      const copy = await openCopy(store, folder).catch(() => undefined);
      if (copy === undefined) continue;
      const texts = await textsOf({ ...store, backends: copy }, conversation).catch(() => []);
      expect(texts).not.toContain('secret');
      opened += 1;
      await copy.close();
    }
    expect(copies.length).toBeGreaterThan(5);
    expect(opened).toBeGreaterThan(0);
  });

  it('asks the KMS a fixed number of times, whatever the number of apps', async () => {
    const counts: number[] = [];
    for (const apps of [1, 4]) {
      const store = await openFriends();
      const powers = store.backends.administration();
      for (let i = 1; i < apps; i += 1) {
        await powers.apps.create({ name: `app-${i}`, buckets: 4, nowMs: 1 });
      }
      await erase(store, 'ann');
      const before = store.backends.kmsCallCount();
      await turn(store);
      counts.push(store.backends.kmsCallCount() - before);
    }
    expect(counts[0]).toBe(counts[1]);
  });
});

describe('captured rings', () => {
  it('with the segments of a large one, open until a turn has ended the epoch, and not after it', async () => {
    const store = await openFriends();
    const { keyringShred, ringCapture } = store.backends.privacy();
    const ref = await placeRingOf(store, await groupOf(store));
    for (let i = 0; i < 20; i += 1) {
      const path = thingPath(i.toString(16).padStart(32, '0'));
      await keyringShred.puncture(ref, [{ path, depth: THING_DEPTH }], 'ab'.repeat(16) as never);
    }
    const captured = await ringCapture.capture([ref]);
    expect(captured.count).toBe(1);
    expect(captured.segmentCount).toBeGreaterThan(1);
    await erase(store, 'ann');
    expect(await captured.countOpening()).toBe(1);
    await turn(store);
    expect(await captured.countOpening()).toBe(0);
  });
});
