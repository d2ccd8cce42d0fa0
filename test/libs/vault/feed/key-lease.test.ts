import { describe, expect, it } from 'vitest';
import { LEASE_MARGIN_MS } from '../../../../libs/vault/feed/feed-wait.ts';
import { withStruck } from '../../../../libs/vault/feed/roster.ts';
import type { SignedFeed } from '../../../../libs/vault/feed/signed-feed.ts';
import {
  fakeClocks,
  id,
  LEASE_MS,
  openFeed,
  openHolder,
  openLosses,
  openStore,
  passedAfter,
  ROWS,
  registerDead,
  rosterOf,
  sign,
  stopAnswering,
} from '../../../support/feed.ts';

describe('the lease on keys', () => {
  it('is held for its time from the beginning of a sync, and renewed by one sync (S33)', async () => {
    const [feed, clocks] = [await openFeed(), fakeClocks()];
    const { lease } = openHolder(feed, clocks);
    expect(lease.isHeld()).toBe(false);
    await lease.ensure();
    clocks.pass(LEASE_MS - 1);
    expect(lease.isHeld()).toBe(true);
    clocks.pass(1);
    expect(lease.isHeld()).toBe(false);
    clocks.pass(6_000);
    await lease.ensure();
    expect(lease.isHeld()).toBe(true);
  });

  it('S05 ends when either clock says so, and when the wall clock went back', async () => {
    for (const change of [{ monotonic: LEASE_MS }, { wall: 3_600_000 }, { wall: -1 }]) {
      const [feed, clocks] = [await openFeed(), fakeClocks()];
      const { lease } = openHolder(feed, clocks);
      await lease.ensure();
      clocks.monotonic += change.monotonic ?? 0;
      clocks.wall += change.wall ?? 0;
      expect(lease.isHeld()).toBe(false);
    }
  });

  it('is not renewed by a sync that began long before it ended', async () => {
    const [feed, clocks] = [await openFeed(), fakeClocks()];
    const slow: SignedFeed = {
      ...feed,
      async roster(incarnation) {
        clocks.pass(LEASE_MS + 1);
        return feed.roster(incarnation);
      },
    };
    const { lease } = openHolder(slow, clocks);
    await expect(lease.ensure()).rejects.toMatchObject({ code: 'LEASE_LOST', retryable: true });
  });

  it('is lost without the feed, and what was loaded is given up', async () => {
    const [feed, clocks] = [await openFeed(), fakeClocks()];
    let isCut = false;
    const cut: SignedFeed = {
      ...feed,
      head: () => (isCut ? Promise.reject(new Error('unreachable')) : feed.head()),
    };
    const { lease, told } = openHolder(cut, clocks);
    await lease.ensure();
    isCut = true;
    clocks.pass(LEASE_MS);
    await expect(lease.ensure()).rejects.toThrow('unreachable');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(told).toContain('all');
    isCut = false;
    await lease.ensure();
    expect(lease.isHeld()).toBe(true);
  });

  it('S04 is not renewed across a gap: everything is dropped instead', async () => {
    const [store, clocks] = [await openStore(), fakeClocks()];
    const gap = sign(store, {
      entries: async (after, limit) => (await store.entries(after, limit)).slice(1),
    });
    const { lease, told } = openHolder(gap, clocks);
    await lease.ensure();
    await openLosses(sign(store), clocks).enter(ROWS, id(9));
    await openLosses(sign(store), clocks).enter(ROWS, id(9));
    await lease.sync();
    expect(told).toEqual(['all']);
  });

  it('S32 a feed of another incarnation makes the holder drop its keys', async () => {
    const [feed, clocks] = [await openFeed(), fakeClocks()];
    let incarnation: string | undefined;
    const restored: SignedFeed = {
      ...feed,
      async head() {
        const head = await feed.head();
        return incarnation === undefined ? head : { ...head, incarnation };
      },
    };
    const { lease, told } = openHolder(restored, clocks);
    await lease.ensure();
    expect(told).toEqual([]);
    incarnation = 'another';
    await lease.sync();
    expect(told).toEqual(['all']);
  });
});

describe('T0', () => {
  it('comes as soon as every holder has acknowledged, and names each', async () => {
    const [feed, clocks] = [await openFeed(), fakeClocks()];
    const [one, other] = [openHolder(feed, clocks), openHolder(feed, clocks)];
    await Promise.all([one.lease.ensure(), other.lease.ensure()]);
    const losses = openLosses(feed, clocks);
    await losses.enter(ROWS, id(9));
    const passing = losses.pass();
    await Promise.all([one.lease.sync(), other.lease.sync()]);
    const passed = await passing;
    expect(one.told).toEqual([1]);
    expect(passed).toMatchObject({ feedNumber: 1 });
    expect(passed.holders.map((holder) => holder.how)).toEqual(['acknowledged', 'acknowledged']);
  });

  it('S03 is acknowledged only after what is in use was closed', async () => {
    const [feed, clocks] = [await openFeed(), fakeClocks()];
    const busy = openHolder(feed, clocks, { isBusy: true });
    await busy.lease.ensure();
    const losses = openLosses(feed, clocks);
    await losses.enter(ROWS, id(9));
    await busy.lease.sync();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await losses.holders())[0]!.acknowledged).toBe(0);
    busy.close();
    const passed = await losses.pass();
    expect(passed.holders[0]!.how).toBe('acknowledged');
  });

  it('S31 waits for the longest lease of those who do not answer, and no longer', async () => {
    const feed = await openFeed();
    const [mine, theirs] = [fakeClocks(), fakeClocks()];
    const silent = [
      openHolder(feed, theirs, { leaseMs: 2_000 }),
      openHolder(feed, theirs, { leaseMs: 9_000 }),
    ];
    for (const { lease } of silent) await lease.ensure();
    await stopAnswering(feed, silent);
    const losses = openLosses(feed, mine);
    await losses.enter(ROWS, id(9));
    const waitedMs = await passedAfter(losses.pass(), mine);
    expect(waitedMs).toBeGreaterThanOrEqual(9_000 + LEASE_MARGIN_MS);
    expect(waitedMs).toBeLessThan(9_000 + LEASE_MARGIN_MS + 1_000);
  });

  it.each([3_600_000, -20_000])(
    'S05 a wall clock of privacy that jumps by %i ms while it waits ends no wait early',
    async (jumpMs) => {
      const feed = await openFeed();
      const [mine, theirs] = [fakeClocks(), fakeClocks()];
      const silent = openHolder(feed, theirs);
      await silent.lease.ensure();
      await stopAnswering(feed, [silent]);
      let leapMs = jumpMs;
      let looks = 0;
      const leaping: SignedFeed = {
        ...feed,
        roster: async (incarnation) => {
          looks += 1;
          // At the second look the wait has begun.
          if (looks > 1) {
            mine.wall += leapMs;
            leapMs = 0;
          }
          return feed.roster(incarnation);
        },
      };
      const losses = openLosses(leaping, mine);
      await losses.enter(ROWS, id(9));
      // By the clock that goes slower: one that was set back has to come so far again.
      const waitMs = LEASE_MS + LEASE_MARGIN_MS + Math.max(0, -jumpMs);
      expect(await passedAfter(losses.pass(), mine)).toBeGreaterThanOrEqual(waitMs);
    },
  );

  it('S01 is measured from the entry, however long privacy was paused after the fence', async () => {
    const feed = await openFeed();
    const [mine, theirs] = [fakeClocks(), fakeClocks()];
    const cutOff = openHolder(feed, theirs);
    await cutOff.lease.ensure();
    // The fence is written; privacy sleeps for longer than a lease; the holder syncs once more.
    mine.pass(6_000);
    theirs.pass(4_000);
    await cutOff.lease.sync();
    await stopAnswering(feed, [cutOff]);
    const losses = openLosses(feed, mine);
    await losses.enter(ROWS, id(9));
    expect(await passedAfter(losses.pass(), mine)).toBeGreaterThanOrEqual(LEASE_MS);
  });

  it('S30 S41 who was struck off renews nothing, and is gone after one more lease', async () => {
    const feed = await openFeed();
    const clocks = fakeClocks();
    await registerDead(feed);
    const losses = openLosses(feed, clocks);
    await losses.enter(ROWS, id(9));
    const first = passedAfter(losses.pass(), clocks);
    expect(await first).toBeGreaterThanOrEqual(LEASE_MS + LEASE_MARGIN_MS);
    expect((await rosterOf(feed)).get('dead')!.struckAtMs).not.toBeNull();
    clocks.pass(LEASE_MS + LEASE_MARGIN_MS);
    await losses.enter(ROWS, id(10));
    expect(await passedAfter(losses.pass(), clocks)).toBeLessThan(1_000);
    expect([...(await rosterOf(feed))]).toEqual([]);
  });

  it('S30 who was struck off by another process is gone after one wait, however slow the vault is', async () => {
    const [feed, clocks] = [await openFeed(), fakeClocks()];
    await registerDead(feed);
    for (const entry of [1, 2]) {
      let answersAfterMs = 3_000;
      let looks = 0;
      const slow: SignedFeed = {
        ...feed,
        roster: async (incarnation) => {
          looks += 1;
          if (looks > 1) {
            clocks.pass(answersAfterMs);
            answersAfterMs = 0;
          }
          return feed.roster(incarnation);
        },
      };
      // Each as a process of its own: it remembers nothing of the other's wait.
      const losses = openLosses(slow, clocks);
      await losses.enter(ROWS, id(entry));
      await passedAfter(losses.pass(), clocks);
    }
    expect([...(await rosterOf(feed))]).toEqual([]);
  });

  it('S41 a live holder that was struck off drops everything and registers anew', async () => {
    const [feed, clocks] = [await openFeed(), fakeClocks()];
    const slow = openHolder(feed, clocks, { isBusy: true });
    await slow.lease.ensure();
    const { incarnation } = await feed.head();
    const [registered] = [...(await rosterOf(feed)).keys()];
    await feed.changeRoster(incarnation, (roster) => withStruck(roster, registered!, clocks.wall));
    await slow.lease.sync();
    expect(slow.told).toEqual(['all']);
    const holders = [...(await rosterOf(feed)).values()];
    expect(holders.filter((holder) => holder.struckAtMs === null).length).toBe(1);
    expect(slow.lease.isHeld()).toBe(true);
  });
});
