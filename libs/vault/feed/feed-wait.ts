/**
 * Privacy's half of the feed: entering what was taken, and waiting until no holder can use it. The
 * moment the wait ends is T0.
 *
 * Nobody without the key makes it end early. A holder is passed when it has said, under its code,
 * that it has closed what this entry took; when it has left the roster; or when it was struck off
 * and its lease is over. After a roster was lost there may be holders whom nobody knows: the
 * longest lease that is permitted is waited out.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HolderClocks } from '../../base/clock.ts';
import type { LossId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { type Randomness, randomId } from '../../base/random.ts';
import type { PassedHolder, PassedHolders } from '../../keyring/holder-wait.ts';
import type { FeedEntry, FeedHead, FeedRow, HolderRowWithDoor } from './feed-store.ts';
import { LEASE_MS_MAX, type Roster, withStruck } from './roster.ts';
import type { Link, SignedFeed } from './signed-feed.ts';

interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** On top of the longest lease: what clocks of two processes may drift apart in that time. */
export const LEASE_MARGIN_MS = 500;
const LOOK_MS_MIN = 1;
const LOOK_MS_MAX = 50;
/** How often an entry that somebody took away is entered again. */
const ENTERED_AGAIN_MAX = 3;
/** Kept behind what all have heard, so that who waits finds its entry although another prunes. */
const ENTRIES_KEPT = 1_000;
const ENTRIES_PER_READ = 500;

/** A holder of keys, as far as its row carries its code. */
export interface KnownHolder {
  readonly id: string;
  readonly struckAtMs: number | null;
  /** 0 where nothing that carries a code says so. */
  readonly acknowledged: number;
}

/** Enters losses and waits for the holders of keys. */
export interface LossFeed {
  head(): Promise<FeedHead>;
  holders(): Promise<KnownHolder[]>;
  /** Enters rows into the feed, durably. */
  enter(rows: readonly FeedRow[], erasure: LossId): Promise<void>;
  /** Removes entries that every holder has acknowledged; one that was struck begins anew. */
  prune(): Promise<void>;
  /**
   * Resolves when every holder has acknowledged what was entered, or can use its keys no more. The
   * wait is measured from the call, which is later than the entry. Throws VAULT_TAMPERED: somebody
   * takes entries away as often as they are entered.
   */
  pass(): Promise<SeenHolders>;
}

/** A holder as its row has it: what it says of its door is not looked at yet. */
export type SeenHolder = Omit<PassedHolder, 'door' | 'isForged'> & {
  readonly doorText: string | null;
};

/** Holders that were passed, as their rows have them. */
export type SeenHolders = Omit<PassedHolders, 'holders'> & { readonly holders: SeenHolder[] };

/** Opens privacy's half of the feed. */
export function createLossFeed(deps: {
  feed: SignedFeed;
  clocks: HolderClocks;
  randomness: Randomness;
}): LossFeed {
  const { feed, randomness } = deps;
  const wait = new Wait(deps);
  let own: { readonly incarnation: string; readonly link: Link } | undefined;

  async function enter(rows: FeedEntry['rows'], erasure: LossId): Promise<void> {
    const { incarnation } = await feed.head();
    own = { incarnation, link: await feed.append(rows, erasure) };
  }

  /** The newest entry; undefined: the one that was entered here does not lead to it. */
  async function target(head: FeedHead): Promise<Link | undefined> {
    const { incarnation } = head;
    if (own === undefined || own.incarnation !== incarnation) return head;
    if (!leadsTo(own.link, head) || !(await feed.isThere(own.link))) return undefined;
    return follow(feed, incarnation, { from: own.link, to: head.number });
  }

  async function knownHolders(): Promise<KnownHolder[]> {
    const { incarnation } = await feed.head();
    const rows = new Map((await feed.holders(incarnation)).map((row) => [row.id, row]));
    const roster = await feed.roster(incarnation);
    return [...(roster?.holders ?? [])].map(([id, { struckAtMs }]) => {
      return { id, struckAtMs, acknowledged: rows.get(id)?.acknowledged ?? 0 };
    });
  }

  return {
    head: () => feed.head(),
    holders: knownHolders,
    enter,
    async prune() {
      const { number } = await feed.head();
      const live = (await knownHolders()).filter((holder) => holder.struckAtMs === null);
      const heard = Math.min(number, ...live.map((holder) => holder.acknowledged));
      await feed.prune(heard - ENTRIES_KEPT);
    },
    async pass() {
      const { clocks } = deps;
      const began = clocks.monotonicMs();
      for (let again = 0; again <= ENTERED_AGAIN_MAX; again += 1) {
        const head = await feed.head();
        const link = await target(head);
        const passed = link && (await wait.pass(head.incarnation, link));
        if (passed !== undefined) {
          const waitedMs = Math.round(clocks.monotonicMs() - began);
          return { feedNumber: link!.number, t0Ms: clocks.wallMs(), waitedMs, ...passed };
        }
        // Which holders have heard of what cannot be told any more: all begin anew.
        await enter('everything', randomId<LossId>(randomness));
      }
      const text =
        'entries of the feed go as they come: somebody writes in the tables of the vault';
      throw new LetheError('VAULT_TAMPERED', `${text}. What was asked for stays open`);
    },
  };
}

/** The link of the number `to`, along the chain; undefined: the chain does not lead there. */
async function follow(
  feed: SignedFeed,
  incarnation: string,
  { from, to }: { readonly from: Link; readonly to: number },
): Promise<Link | undefined> {
  let last: Link | undefined = from;
  while (last !== undefined && last.number < to) {
    const later: Link[] = await feed.following(incarnation, last, ENTRIES_PER_READ);
    last = later.find(({ number }) => number === to) ?? later.at(-1);
  }
  return last;
}

/** Can this be the head of a feed on which that entry is? */
function leadsTo(link: Link, head: Link): boolean {
  return head.number > link.number || (head.number === link.number && head.code === link.code);
}

/** What is waited for: an entry, since a moment at which it was durable. */
interface Waited {
  readonly incarnation: string;
  readonly link: Link;
  readonly at: Moment;
  readonly leaseMs: number;
}

class Wait {
  readonly #deps: Parameters<typeof createLossFeed>[0];
  /** When this process first saw that a holder was struck off: from then on it renews nothing. */
  readonly #struck = new Map<string, Moment>();
  /** When it first saw the mark of a roster that was lost: nobody who was on that renews either. */
  readonly #marks = new Map<string, Moment>();

  constructor(deps: Parameters<typeof createLossFeed>[0]) {
    this.#deps = deps;
  }

  /** Passes all holders; undefined: the entry is not there any more. */
  async pass(
    incarnation: string,
    link: Link,
  ): Promise<Pick<SeenHolders, 'holders' | 'isRosterLost'> | undefined> {
    const { feed, clocks } = this.#deps;
    const began = clocks.monotonicMs();
    const first = await this.#look(incarnation);
    const at = this.#now();
    // From the wait's own beginning, so that whoever was struck before is gone when it ends.
    for (const [id, { struckAtMs }] of first.roster.holders) {
      if (struckAtMs !== null && !this.#struck.has(id)) this.#struck.set(id, at);
    }
    const leases = [...first.roster.holders.values()].map((holder) => holder.leaseMs);
    const leaseMs = Math.max(0, ...leases) + LEASE_MARGIN_MS;
    const waited = { incarnation, link, at, leaseMs };
    const passed: SeenHolder[] = [];
    let waiting = [...first.roster.holders.keys()];
    let isRosterLost = false;
    const doors = new Map(first.rows.map(({ id, door }) => [id, door]));
    for (let lookMs = LOOK_MS_MIN; ; lookMs = Math.min(lookMs * 2, LOOK_MS_MAX)) {
      const seen = await this.#look(incarnation);
      const left: string[] = [];
      for (const id of waiting) {
        const how = await this.#howPassed(id, seen, waited);
        const afterMs = Math.round(clocks.monotonicMs() - began);
        if (how === undefined) left.push(id);
        else passed.push({ holder: id, doorText: doors.get(id) ?? null, how, afterMs });
      }
      waiting = left;
      const { lostBefore } = seen.roster;
      isRosterLost ||= lostBefore !== null;
      const isKnown = lostBefore === null || (await this.#isOver(incarnation, lostBefore));
      if (waiting.length === 0 && isKnown) break;
      // Who takes the entry away and puts it back would keep it from a holder who looks meanwhile.
      if (!(await this.#isOn(waited))) return undefined;
      await sleep(lookMs);
    }
    const isWhole =
      (await this.#isOn(waited)) &&
      (await feed.isThere(link)) &&
      (await this.#areOff(passed, waited));
    return isWhole ? { holders: passed, isRosterLost } : undefined;
  }

  /** Is everybody who was waited out off the roster, or struck off, also at a second look? */
  async #areOff(passed: readonly SeenHolder[], { incarnation }: Waited): Promise<boolean> {
    const silent = passed.filter(({ how }) => how === 'waited');
    if (silent.length === 0) return true;
    const roster = await this.#deps.feed.roster(incarnation);
    return silent.every(({ holder }) => roster?.holders.get(holder)?.struckAtMs !== null);
  }

  async #isOn({ incarnation, link }: Waited): Promise<boolean> {
    const head = await this.#deps.feed.head();
    return head.incarnation === incarnation && leadsTo(link, head);
  }

  #now(): Moment {
    return { monotonicMs: this.#deps.clocks.monotonicMs(), wallMs: this.#deps.clocks.wallMs() };
  }

  // By both clocks: one of them may have been set meanwhile.
  #elapsedMs(since: Moment): number {
    const now = this.#now();
    return Math.min(now.monotonicMs - since.monotonicMs, now.wallMs - since.wallMs);
  }

  /** Rows first: whose row is there is on the roster, unless an old one was written back. */
  async #look(incarnation: string): Promise<{ roster: Roster; rows: HolderRowWithDoor[] }> {
    const { feed } = this.#deps;
    const rows = await feed.holders(incarnation);
    const read = await feed.roster(incarnation);
    const roster = read ?? (await feed.changeRoster(incarnation, (one) => one));
    const missing = rows.filter(({ id }) => !roster.holders.has(id));
    if (missing.length === 0 || roster.lostBefore !== null) return { roster, rows };
    // Or it has left meanwhile: then its row has gone too.
    const now = new Set((await feed.holders(incarnation)).map((row) => row.id));
    if (!missing.some(({ id }) => now.has(id))) return { roster, rows };
    const lostBefore: string = randomId(this.#deps.randomness);
    const marked = await feed.changeRoster(incarnation, (one) => {
      return missing.every(({ id }) => one.holders.has(id)) ? one : { ...one, lostBefore };
    });
    return { roster: marked, rows };
  }

  /** How a holder was passed; undefined: not yet. */
  async #howPassed(
    id: string,
    { roster, rows }: { roster: Roster; rows: readonly HolderRowWithDoor[] },
    waited: Waited,
  ): Promise<SeenHolder['how'] | undefined> {
    const { feed, clocks } = this.#deps;
    const holder = roster.holders.get(id);
    // Of a roster that was lost it may have been taken: that wait is for whoever is not on it.
    if (holder === undefined) return roster.lostBefore === null ? 'left' : 'waited';
    const row = rows.find((one) => one.id === id);
    const isStruck = holder.struckAtMs !== null;
    if (row !== undefined && !isStruck && (await this.#hasHeard(row, waited))) {
      return 'acknowledged';
    }
    if (isStruck && !this.#struck.has(id)) this.#struck.set(id, this.#now());
    const since = this.#struck.get(id);
    if (since !== undefined && this.#elapsedMs(since) >= holder.leaseMs + LEASE_MARGIN_MS) {
      await feed.leave(waited.incarnation, id);
      this.#struck.delete(id);
      return 'waited';
    }
    if (this.#elapsedMs(waited.at) < waited.leaseMs) return undefined;
    if (!isStruck) {
      const atMs = clocks.wallMs();
      await feed.changeRoster(waited.incarnation, (one) => withStruck(one, id, atMs));
      this.#struck.set(id, this.#now());
    }
    return 'waited';
  }

  /** Has it closed what this entry took, and not another of the same number? */
  async #hasHeard(row: HolderRowWithDoor, { incarnation, link }: Waited): Promise<boolean> {
    if (row.acknowledged < link.number) return false;
    const way = { from: link, to: row.acknowledged };
    const heard = await follow(this.#deps.feed, incarnation, way);
    return heard?.code === row.entryCode;
  }

  /** Is the longest lease over since this mark was seen? Then all that are left are known. */
  async #isOver(incarnation: string, mark: string): Promise<boolean> {
    const since = this.#marks.get(mark);
    if (since === undefined) this.#marks.set(mark, this.#now());
    if (since === undefined || this.#elapsedMs(since) < LEASE_MS_MAX + LEASE_MARGIN_MS)
      return false;
    const { feed } = this.#deps;
    const rows = await feed.holders(incarnation);
    const roster = await feed.roster(incarnation);
    // Whoever is not on it can use no key any more: its row would tell of an old roster for ever.
    for (const { id } of rows) {
      if (roster !== undefined && !roster.holders.has(id)) await feed.leave(incarnation, id);
    }
    await feed.changeRoster(incarnation, (one) => {
      return one.lostBefore === mark ? { ...one, lostBefore: null } : one;
    });
    this.#marks.delete(mark);
    return true;
  }
}
