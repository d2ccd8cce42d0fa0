import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { LossId } from '../../../../libs/base/ids.ts';
import { LetheError } from '../../../../libs/base/lethe-error.ts';
import { Ring, type RingRef } from '../../../../libs/keyring/ring.ts';
import { THING_DEPTH, thingPath, timePath } from '../../../../libs/sealing/tree-path.ts';
import { openBackends } from '../../../../libs/wiring/open-backends.ts';
import type { PrivacyPowers } from '../../../../libs/wiring/powers.ts';
import { createPrivacy } from '../../../../services/privacy/doors/privacy.ts';
import { received } from '../../../support/events.ts';
import { groupOf, placeRingOf, subjectOf } from '../../../support/reading.ts';
import { openAt, openTestStore } from '../../../support/temporary-store.ts';

const newThing = () => randomBytes(16).toString('hex');

describe('a ring that is being loaded', () => {
  it('S02 is not installed when it was taken away since the load began', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    const ann = await subjectOf(store, 'ann');
    const other = await openAt(store.folder, {}, store.app.id);
    const vault = other.backends.vaultStore();
    const { read } = vault;
    let erased: Promise<unknown> | undefined;
    vault.read = async (keys) => {
      const rows = await read.call(vault, keys);
      if (erased === undefined && keys.some(({ kind, id }) => kind === 12 && id === ann)) {
        // The whole erase, T0 included, happens between the read and the installation.
        erased = createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, ann);
        await erased;
      }
      return rows;
    };
    const ref = { app: store.app.id, kind: 2 as const, id: ann };
    const { keyring } = other.backends.reader();
    expect(await keyring.use([ref], async ([ring]) => ring)).toBe('erased');
    expect(erased).toBeDefined();
    expect(await keyring.use([ref], async ([ring]) => ring)).toBe('erased');
  });

  it('is loaded anew, and stays usable, when something of it was forgotten meanwhile', async () => {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    const ann = await subjectOf(store, 'ann');
    const other = await openAt(store.folder, {}, store.app.id);
    const ref = { app: store.app.id, kind: 2 as const, id: ann };
    const { keyring } = other.backends.reader();
    const before = await keyring.use([ref], async ([ring]) => ring as Ring);
    const days = { fromDay: 20_000, toDay: 20_010, subject: ann };
    await createPrivacy(store.backends.privacy()).forgetDays(store.app.id, days);
    expect(before.isRevoked).toBe(true);
    await keyring.use([ref], async ([ring]) => {
      if (!(ring instanceof Ring)) throw new Error('it is there');
      expect(ring.daySeed(1, 20_005)).toBeUndefined();
      expect(ring.daySeed(1, 20_011)).toBeDefined();
    });
  });
});

describe('what was taken by a process that ended before it told anybody', () => {
  const unreachable = async () => {
    throw new LetheError('VAULT_UNREACHABLE', 'cut off');
  };

  type Take = (powers: PrivacyPowers, ref: RingRef, loss: LossId) => Promise<unknown>;
  const takes: [string, string, Take][] = [
    ['a person', 'erased', ({ keyringShred }, ref, loss) => keyringShred.shred([ref], loss)],
    [
      'an app',
      'erased',
      ({ directoryShred }, { app }, loss) => directoryShred.removeAppRoot(app, loss),
    ],
    [
      'a day',
      'a ring',
      ({ keyringShred }, ref, loss) =>
        keyringShred.puncture(ref, [{ path: timePath(1, 20_005), depth: 5 }], loss),
    ],
  ];

  it.each(takes)(
    'is entered into the feed once, by the first who loads it, for all: %s',
    async (_, seenAs, take) => {
      const store = await openTestStore();
      await store.deliver(received('ann', 'words'));
      const { id: app } = store.app;
      const ref = { app, kind: 2 as const, id: await subjectOf(store, 'ann') };
      const opening = async () => {
        const backends = await openBackends(store.configuration);
        onTestFinished(() => backends.close());
        return backends.reader().keyring.use([ref], async ([ring]) => ring!);
      };
      const before = (await opening()) as Ring;
      const dying = await openBackends(store.configuration, {
        overFeed: (feed) => ({ ...feed, append: unreachable }),
      });
      const taking = take(dying.privacy(), ref, newThing() as LossId);
      await expect(taking).rejects.toMatchObject({ code: 'VAULT_UNREACHABLE' });
      await dying.close();
      expect(before.isRevoked).toBe(false);
      const seen = await opening();
      expect(typeof seen === 'string' ? seen : 'a ring').toBe(seenAs);
      await vi.waitFor(() => expect(before.isRevoked).toBe(true), { timeout: 2_000 });
      const { passHolders } = store.backends.privacy().holders;
      const { feedNumber } = await passHolders();
      await opening();
      expect((await passHolders()).feedNumber).toBe(feedNumber);
    },
  );
});

describe('a ring with so many holes that its nodes lie in segments', () => {
  /** A place of which `count` things were forgotten, and whose segments are counted when read. */
  async function openHoled(count: number) {
    const store = await openTestStore();
    await store.deliver(received('ann', 'words'));
    const { app, kind, id } = await placeRingOf(store, await groupOf(store));
    const shred = store.backends.privacy().keyringShred;
    const forget = async (thing: string) => {
      const taken = { path: thingPath(thing), depth: THING_DEPTH };
      await shred.puncture({ app, kind, id }, [taken], newThing() as never);
    };
    for (let i = 0; i < count; i += 1) await forget(newThing());
    const other = await openAt(store.folder, {}, store.app.id);
    const vault = other.backends.vaultStore();
    const { readSegments } = vault;
    const read: string[] = [];
    vault.readSegments = async (of, ids) => {
      read.push(...ids);
      return readSegments.call(vault, of, ids);
    };
    const { keyring } = other.backends.reader();
    const hasLeaf = (...things: string[]) =>
      keyring.use([{ app, kind, id, things }], async ([ring]) =>
        things.map((thing) => {
          return (ring as Ring).writeThingLeaf(Buffer.from(thing, 'hex'), Buffer.alloc(32));
        }),
      );
    return { forget, hasLeaf, read };
  }

  it('is loaded in the parts that are asked for, each once', async () => {
    const { hasLeaf, read } = await openHoled(100);
    const thing = newThing();
    expect(await hasLeaf(thing)).toEqual([true]);
    expect(read.length).toBe(1);
    expect(await hasLeaf(thing)).toEqual([true]);
    expect(read.length).toBe(1);
    const many = Array.from({ length: 200 }, newThing);
    expect(await hasLeaf(...many)).toEqual(many.map(() => true));
    expect(read.length).toBeGreaterThan(3);
    expect(new Set(read).size).toBe(read.length);
  });

  it('is opened anew when a part that was not loaded yet was replaced meanwhile', async () => {
    const { forget, hasLeaf } = await openHoled(60);
    const things = Array.from({ length: 40 }, newThing);
    expect(await hasLeaf(things[0]!)).toEqual([true]);
    // This process has not heard of it yet: its ring names segments that are gone.
    for (const thing of things.slice(20)) await forget(thing);
    const expected = things.map((_, i) => i < 20);
    expect(await hasLeaf(...things)).toEqual(expected);
  });
});
