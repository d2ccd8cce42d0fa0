/** A feed with holders of keys on clocks that stand still until they are set. */
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createSystemRandomness } from '../../libs/base/random.ts';
import { SqliteDatabase } from '../../libs/engines/sqlite-database.ts';
import type { FeedStore } from '../../libs/vault/feed/feed-store.ts';
import { createLossFeed } from '../../libs/vault/feed/feed-wait.ts';
import { type KeyLease, openKeyLease } from '../../libs/vault/feed/key-lease.ts';
import {
  createSignedFeed,
  type FeedMac,
  type SignedFeed,
} from '../../libs/vault/feed/signed-feed.ts';
import { openFeedStoreSqlite } from '../../libs/vault/feed/sqlite/feed-store-sqlite.ts';
import { fixedMac } from './fixed-mac.ts';
import { temporaryFolder } from './temporary-store.ts';

export const id = (byte: number) => byte.toString(16).padStart(2, '0').repeat(16) as never;
export const ROWS = [{ app: id(1), kind: 12 as const, id: id(2) }];
export const LEASE_MS = 5_000;

/** Clocks that stand still until they are set. */
export function fakeClocks() {
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

export type Clocks = ReturnType<typeof fakeClocks>;

/** One holder with what it was told. */
export interface Holder {
  readonly lease: KeyLease;
  readonly told: (number | 'all')[];
  /** Lets what is in use be closed. */
  close(): void;
}

const randomness = createSystemRandomness();
const feedMac: FeedMac = { code: fixedMac().mac, reload: async () => false };

/** A process's own view of one feed; `over` stands before its rows. */
export function sign(store: FeedStore, over: Partial<FeedStore> = {}): SignedFeed {
  return createSignedFeed({ store: { ...store, ...over }, mac: feedMac, randomness });
}

/** The rows of a feed, and the tables in which an attacker writes. */
export async function openTables(): Promise<{ store: FeedStore; database: SqliteDatabase }> {
  const file = join(temporaryFolder(), 'vault.db');
  const database = new SqliteDatabase(file, 'VAULT_UNREACHABLE');
  onTestFinished(() => database.close());
  const store = openFeedStoreSqlite(database);
  await sign(store).begin();
  return { store, database };
}

export async function openStore(): Promise<FeedStore> {
  return (await openTables()).store;
}

export async function openFeed(): Promise<SignedFeed> {
  return sign(await openStore());
}

export function openLosses(feed: SignedFeed, clocks: Clocks) {
  return createLossFeed({ feed, clocks, randomness });
}

/** The holders on a feed's roster. */
export async function rosterOf(feed: SignedFeed) {
  const { incarnation } = await feed.head();
  return (await feed.roster(incarnation))!.holders;
}

/** A holder that is killed as soon as it has registered. */
export async function registerDead(feed: SignedFeed): Promise<void> {
  const { incarnation } = await feed.head();
  await feed.register(incarnation, 'dead', LEASE_MS, { number: 0, code: '' });
}

export function openHolder(
  feed: SignedFeed,
  clocks: Clocks,
  options: { leaseMs?: number; isBusy?: boolean } = {},
): Holder {
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

/**
 * Lets time pass until a wait is over; how long it took by these clocks. `isHurried`: nothing is to
 * be seen in the meantime any more.
 */
export async function passedAfter(
  waiting: Promise<unknown>,
  clocks: Clocks,
  isHurried: () => boolean = () => false,
): Promise<number> {
  const began = clocks.monotonic;
  let over = false;
  void waiting.then(() => {
    over = true;
  });
  while (!over) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (!over) clocks.pass(isHurried() ? 500 : 20);
    if (clocks.monotonic - began > 200_000) throw new Error('the wait does not end');
  }
  return clocks.monotonic - began;
}

/** Ends holders without their leaving the feed, as a SIGKILL does. */
export async function stopAnswering(feed: SignedFeed, holders: readonly Holder[]): Promise<void> {
  const { incarnation } = await feed.head();
  const registered = await rosterOf(feed);
  const rows = await feed.holders(incarnation);
  for (const { lease } of holders) await lease.close();
  for (const { id: name, acknowledged: number, entryCode: code } of rows) {
    await feed.register(incarnation, name, registered.get(name)!.leaseMs, { number, code });
  }
}
