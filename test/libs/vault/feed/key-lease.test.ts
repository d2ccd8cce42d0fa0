import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createSystemRandomness } from '../../../../libs/base/random.ts';
import { SqliteDatabase } from '../../../../libs/engines/sqlite-database.ts';
import type { FeedStore } from '../../../../libs/vault/feed/feed-store.ts';
import { createLossFeed, LEASE_MARGIN_MS } from '../../../../libs/vault/feed/feed-wait.ts';
import { type KeyLease, openKeyLease } from '../../../../libs/vault/feed/key-lease.ts';
import { openFeedStoreSqlite } from '../../../../libs/vault/feed/sqlite/feed-store-sqlite.ts';
import { temporaryFolder } from '../../../support/temporary-store.ts';

const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16) as never;
const ROWS = [{ app: id(1), kind: 12 as const, id: id(2) }];
const LEASE_MS = 5_000;

/** Clocks that stand still until they are set. */
function fakeClocks() {
  const clocks = {
    monotonic: 1_000,
    wall: 1_700_000_000_000,
    monotonicMs: () => clocks.monotonic,
    wallMs: () => clocks.wall,
    pass(ms: number) {
      clocks.monotonic += ms;
      clocks.wall += ms;
    },
  };
  return clocks;
}

type Clocks = ReturnType<typeof fakeClocks>;

/** One holder with what it was told. */
interface Holder {
  readonly lease: KeyLease;
  readonly told: (number | 'all')[];
  /** Lets what is in use be closed. */
  close(): void;
}

function openFeed(): FeedStore {
  const file = join(temporaryFolder(), 'vault.db');
  const database = new SqliteDatabase(file, 'VAULT_UNREACHABLE');
  onTestFinished(() => database.close());
  return openFeedStoreSqlite(database);
}

function openHolder(
  feed: FeedStore,
  clocks: Clocks,
  options: { leaseMs?: number; isBusy?: boolean } = {},
): Holder {
  const randomness = createSystemRandomness();
  const lease = openKeyLease({ feed, clocks, randomness, leaseMs: options.leaseMs ?? LEASE_MS });
  onTestFinished(() => lease.close());
  const told: Holder['told'] = [];
  let close = () => {};
  const closed = options.isBusy
    ? new Promise<void>((resolve) => {
        close = resolve;
      })
    : Promise.resolve();
  lease.listen({
    onLoss: (rows) => {
      told.push(rows.length);
      return closed;
    },
    onUnknownLoss: () => {
      told.push('all');
      return closed;
    },
  });
  return { lease, told, close };
}

/** Lets time pass until a wait is over; how long it took by these clocks. */
async function passedAfter(waiting: Promise<unknown>, clocks: Clocks): Promise<number> {
  const began = clocks.monotonic;
  let over = false;
  void waiting.then(() => {
    over = true;
  });
  while (!over) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (!over) clocks.pass(20);
    if (clocks.monotonic - began > 60_000) throw new Error('the wait does not end');
  }
  return clocks.monotonic - began;
}

describe('the lease on keys', () => {
  it('is held for its time from the beginning of a sync, and renewed by one sync (S33)', async () => {
    const [feed, clocks] = [openFeed(), fakeClocks()];
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
      const [feed, clocks] = [openFeed(), fakeClocks()];
      const { lease } = openHolder(feed, clocks);
      await lease.ensure();
      clocks.monotonic += change.monotonic ?? 0;
      clocks.wall += change.wall ?? 0;
      expect(lease.isHeld()).toBe(false);
    }
  });

  it('is not renewed by a sync that began long before it ended', async () => {
    const [feed, clocks] = [openFeed(), fakeClocks()];
    const slow: FeedStore = {
      ...feed,
      async holder(holder) {
        clocks.pass(LEASE_MS + 1);
        return feed.holder(holder);
      },
    };
    const { lease } = openHolder(slow, clocks);
    await expect(lease.ensure()).rejects.toMatchObject({ code: 'LEASE_LOST', retryable: true });
  });

  it('is lost without the feed, and what was loaded is given up', async () => {
    const [feed, clocks] = [openFeed(), fakeClocks()];
    let isCut = false;
    const cut: FeedStore = {
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
    const [feed, clocks] = [openFeed(), fakeClocks()];
    const gap: FeedStore = {
      ...feed,
      entries: async (after, limit) => (await feed.entries(after, limit)).slice(1),
    };
    const { lease, told } = openHolder(gap, clocks);
    await lease.ensure();
    await createLossFeed({ feed, clocks }).enter(ROWS, id(9));
    await createLossFeed({ feed, clocks }).enter(ROWS, id(9));
    await lease.sync();
    expect(told).toEqual(['all']);
  });

  it('S32 a feed of another incarnation makes the holder drop its keys', async () => {
    const [feed, clocks] = [openFeed(), fakeClocks()];
    let incarnation: string | undefined;
    const restored: FeedStore = {
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
    const [feed, clocks] = [openFeed(), fakeClocks()];
    const [one, other] = [openHolder(feed, clocks), openHolder(feed, clocks)];
    await Promise.all([one.lease.ensure(), other.lease.ensure()]);
    const losses = createLossFeed({ feed, clocks });
    await losses.enter(ROWS, id(9));
    const passing = losses.pass(1);
    await Promise.all([one.lease.sync(), other.lease.sync()]);
    const passed = await passing;
    expect(one.told).toEqual([1]);
    expect(passed).toMatchObject({ feedNumber: 1 });
    expect(passed.holders.map((holder) => holder.how)).toEqual(['acknowledged', 'acknowledged']);
  });

  it('S03 is acknowledged only after what is in use was closed', async () => {
    const [feed, clocks] = [openFeed(), fakeClocks()];
    const busy = openHolder(feed, clocks, { isBusy: true });
    await busy.lease.ensure();
    const losses = createLossFeed({ feed, clocks });
    await losses.enter(ROWS, id(9));
    await busy.lease.sync();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await feed.holders())[0]!.acknowledged).toBe(0);
    busy.close();
    const passed = await losses.pass(1);
    expect(passed.holders[0]!.how).toBe('acknowledged');
  });

  it('S31 waits for the longest lease of those who do not answer, and no longer', async () => {
    const feed = openFeed();
    const [mine, theirs] = [fakeClocks(), fakeClocks()];
    const silent = [
      openHolder(feed, theirs, { leaseMs: 2_000 }),
      openHolder(feed, theirs, { leaseMs: 9_000 }),
    ];
    for (const { lease } of silent) await lease.ensure();
    await stopAnswering(feed, silent);
    const losses = createLossFeed({ feed, clocks: mine });
    await losses.enter(ROWS, id(9));
    const waitedMs = await passedAfter(losses.pass(1), mine);
    expect(waitedMs).toBeGreaterThanOrEqual(9_000 + LEASE_MARGIN_MS);
    expect(waitedMs).toBeLessThan(9_000 + LEASE_MARGIN_MS + 1_000);
  });

  it.each([3_600_000, -20_000])(
    'S05 a wall clock of privacy that jumps by %i ms while it waits ends no wait early',
    async (jumpMs) => {
      const feed = openFeed();
      const [mine, theirs] = [fakeClocks(), fakeClocks()];
      const silent = openHolder(feed, theirs);
      await silent.lease.ensure();
      await stopAnswering(feed, [silent]);
      let leapMs = jumpMs;
      const leaping: FeedStore = {
        ...feed,
        // Asked first when the wait has begun.
        holder: async (name) => {
          mine.wall += leapMs;
          leapMs = 0;
          return feed.holder(name);
        },
      };
      const losses = createLossFeed({ feed: leaping, clocks: mine });
      await losses.enter(ROWS, id(9));
      // By the clock that goes slower: one that was set back has to come so far again.
      const waitMs = LEASE_MS + LEASE_MARGIN_MS + Math.max(0, -jumpMs);
      expect(await passedAfter(losses.pass(1), mine)).toBeGreaterThanOrEqual(waitMs);
    },
  );

  it('S01 is measured from the entry, however long privacy was paused after the fence', async () => {
    const feed = openFeed();
    const [mine, theirs] = [fakeClocks(), fakeClocks()];
    const cutOff = openHolder(feed, theirs);
    await cutOff.lease.ensure();
    // The fence is written; privacy sleeps for longer than a lease; the holder syncs once more.
    mine.pass(6_000);
    theirs.pass(4_000);
    await cutOff.lease.sync();
    await stopAnswering(feed, [cutOff]);
    const losses = createLossFeed({ feed, clocks: mine });
    await losses.enter(ROWS, id(9));
    expect(await passedAfter(losses.pass(1), mine)).toBeGreaterThanOrEqual(LEASE_MS);
  });

  it('S30 S41 who was struck off renews nothing, and is gone after one more lease', async () => {
    const feed = openFeed();
    const clocks = fakeClocks();
    await feed.register({ id: 'dead', leaseMs: LEASE_MS, acknowledged: 0 });
    const losses = createLossFeed({ feed, clocks });
    await losses.enter(ROWS, id(9));
    const first = passedAfter(losses.pass(1), clocks);
    expect(await first).toBeGreaterThanOrEqual(LEASE_MS + LEASE_MARGIN_MS);
    expect((await feed.holder('dead'))!.struckAtMs).not.toBeNull();
    clocks.pass(LEASE_MS + LEASE_MARGIN_MS);
    await losses.enter(ROWS, id(10));
    expect(await passedAfter(losses.pass(2), clocks)).toBeLessThan(1_000);
    expect(await feed.holders()).toEqual([]);
  });

  it('S30 who was struck off by another process is gone after one wait, however slow the vault is', async () => {
    const [feed, clocks] = [openFeed(), fakeClocks()];
    await feed.register({ id: 'dead', leaseMs: LEASE_MS, acknowledged: 0 });
    for (const entry of [1, 2]) {
      let answersAfterMs = 3_000;
      const slow: FeedStore = {
        ...feed,
        holder: async (name) => {
          clocks.pass(answersAfterMs);
          answersAfterMs = 0;
          return feed.holder(name);
        },
      };
      // Each as a process of its own: it remembers nothing of the other's wait.
      const losses = createLossFeed({ feed: slow, clocks });
      await losses.enter(ROWS, id(entry));
      await passedAfter(losses.pass(entry), clocks);
    }
    expect(await feed.holders()).toEqual([]);
  });

  it('S41 a live holder that was struck off drops everything and registers anew', async () => {
    const [feed, clocks] = [openFeed(), fakeClocks()];
    const slow = openHolder(feed, clocks, { isBusy: true });
    await slow.lease.ensure();
    const [registered] = await feed.holders();
    await feed.strike(registered!.id, clocks.wall);
    await slow.lease.sync();
    expect(slow.told).toEqual(['all']);
    const holders = await feed.holders();
    expect(holders.filter((holder) => holder.struckAtMs === null).length).toBe(1);
    expect(slow.lease.isHeld()).toBe(true);
  });
});

/** Ends holders without their leaving the feed, as a SIGKILL does. */
async function stopAnswering(feed: FeedStore, holders: readonly Holder[]): Promise<void> {
  const registered = await feed.holders();
  for (const { lease } of holders) await lease.close();
  for (const { id: name, leaseMs, acknowledged } of registered) {
    await feed.register({ id: name, leaseMs, acknowledged });
  }
}
