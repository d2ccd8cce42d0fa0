/**
 * Privacy's half of the feed: entering what was taken, and waiting until no holder can use it. The
 * moment the wait ends is T0.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HolderClocks } from '../../base/clock.ts';
import type { LossId } from '../../base/ids.ts';
import type { PassedHolder, PassedHolders } from '../../keyring/holder-wait.ts';
import type { FeedHead, FeedRow, FeedStore, Holder } from './feed-store.ts';

interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** On top of the longest lease: what clocks of two processes may drift apart in that time. */
export const LEASE_MARGIN_MS = 500;
const LOOK_MS_MIN = 1;
const LOOK_MS_MAX = 50;

/** Enters losses and waits for the holders of keys. */
export interface LossFeed {
  head(): Promise<FeedHead>;
  holders(): Promise<Holder[]>;
  /** Enters rows into the feed, durably. */
  enter(rows: readonly FeedRow[], erasure: LossId): Promise<void>;
  /** Removes entries that every holder has acknowledged; one that was struck begins anew. */
  prune(): Promise<void>;
  /**
   * Resolves when every holder has acknowledged a durable entry or can use its keys no more. The
   * wait is measured from the call, which is later than the entry.
   */
  pass(number: number): Promise<SeenHolders>;
}

/** A holder as its row has it: what it says of its door is not looked at yet. */
export type SeenHolder = Omit<PassedHolder, 'door' | 'isForged'> & {
  readonly doorText: string | null;
};

/** Holders that were passed, as their rows have them. */
export type SeenHolders = Omit<PassedHolders, 'holders'> & { readonly holders: SeenHolder[] };

/** Opens privacy's half of the feed. */
export function createLossFeed(deps: { feed: FeedStore; clocks: HolderClocks }): LossFeed {
  const { feed, clocks } = deps;
  const now = () => ({ monotonicMs: clocks.monotonicMs(), wallMs: clocks.wallMs() });
  // By both clocks: one of them may have been set meanwhile.
  const elapsedMs = (since: Moment) =>
    Math.min(clocks.monotonicMs() - since.monotonicMs, clocks.wallMs() - since.wallMs);
  // When this process first saw that a holder was struck off: from then on it can renew nothing.
  const struck = new Map<string, Moment>();

  /** How a holder was passed; undefined: not yet. */
  async function look(id: string, wait: { number: number; at: Moment; leaseMs: number }) {
    const holder = await feed.holder(id);
    if (holder === undefined) return 'left';
    if (holder.struckAtMs === null && holder.acknowledged >= wait.number) return 'acknowledged';
    if (holder.struckAtMs !== null && !struck.has(id)) struck.set(id, now());
    const since = struck.get(id);
    if (since !== undefined && elapsedMs(since) >= holder.leaseMs + LEASE_MARGIN_MS) {
      await feed.remove(id);
      struck.delete(id);
      return 'waited';
    }
    if (elapsedMs(wait.at) < wait.leaseMs) return undefined;
    if (since === undefined) {
      await feed.strike(id, clocks.wallMs());
      struck.set(id, now());
    }
    return 'waited';
  }

  return {
    head: () => feed.head(),
    holders: () => feed.holders(),
    async enter(rows, erasure) {
      for (;;) {
        const number = (await feed.head()).number + 1;
        if (await feed.append({ number, erasure, rows })) return;
      }
    },
    async prune() {
      const { number } = await feed.head();
      const live = (await feed.holders()).filter((holder) => holder.struckAtMs === null);
      await feed.prune(Math.min(number, ...live.map((holder) => holder.acknowledged)));
    },
    async pass(number) {
      const began = clocks.monotonicMs();
      const holders = await feed.holders();
      const at = now();
      // From the wait's own beginning, so that whoever was struck before is gone when it ends.
      for (const { id, struckAtMs } of holders) {
        if (struckAtMs !== null && !struck.has(id)) struck.set(id, at);
      }
      const longestMs = Math.max(0, ...holders.map((holder) => holder.leaseMs));
      const wait = { number, at, leaseMs: longestMs + LEASE_MARGIN_MS };
      const passed: SeenHolder[] = [];
      let waiting = holders.map(({ id, door }) => ({ id, door }));
      for (let lookMs = LOOK_MS_MIN; ; lookMs = Math.min(lookMs * 2, LOOK_MS_MAX)) {
        const left: typeof waiting = [];
        for (const one of waiting) {
          const how = await look(one.id, wait);
          const afterMs = Math.round(clocks.monotonicMs() - began);
          if (how === undefined) left.push(one);
          else passed.push({ holder: one.id, doorText: one.door, how, afterMs });
        }
        waiting = left;
        if (waiting.length === 0) break;
        await sleep(lookMs);
      }
      const waitedMs = Math.round(clocks.monotonicMs() - began);
      return { feedNumber: number, t0Ms: clocks.wallMs(), waitedMs, holders: passed };
    },
  };
}
