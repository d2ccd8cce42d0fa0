/**
 * The lease: a process may use key material only while its last good sync with the feed began less
 * than `leaseMs` ago, by both of its clocks. A sync must reach, without a gap, the head that it
 * read after it began. It counts only if the roster, read after that, has the holder unstruck.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HolderClocks } from '../../base/clock.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { type Randomness, randomId } from '../../base/random.ts';
import type { FeedEntry, FeedHead, FeedRow } from './feed-store.ts';
import type { Link, SignedFeed } from './signed-feed.ts';

/** What a holder does when rows lose something. */
export interface LossListener {
  /** Takes these rows out of every cache at once; resolves when nothing of them is in use. */
  onLoss(rows: readonly FeedRow[]): Promise<void>;
  /** Takes everything out: the feed cannot tell what was lost. Resolves likewise. */
  onUnknownLoss(): Promise<void>;
}

/** This process's short right to use cached key material. */
export interface KeyLease {
  /** Returns at once while the lease is held, else renews it. Throws LEASE_LOST (retryable). */
  ensure(): Promise<void>;
  /** Applies everything that was on the feed when this was called. Throws LEASE_LOST. */
  sync(): Promise<void>;
  isHeld(): boolean;
  /** Milliseconds until the lease ends, by the clock that ends it first; 0: it is not held. */
  leftMs(): number;
  /** Raised with every loss that was applied: what was unsealed before it is to be looked at. */
  readonly losses: number;
  listen(listener: LossListener): void;
  /** This process's random id as a holder; undefined: it is none yet. */
  readonly holderId: string | undefined;
  /**
   * Tells where this process answers requests, so that an erasure can be attacked there. `sign`
   * gives what is written for this holder: a row that somebody made up must not pass for it.
   */
  announce(sign: (holder: string) => Promise<string>): Promise<void>;
  /** The feed's incarnation, as the newest sync found it. Throws LEASE_LOST. */
  incarnation(): Promise<string>;
  /** Ends the registration; keys cannot be used any more. */
  close(): Promise<void>;
}

const SYNC_INTERVAL_MS = 200;
// Less than others wait beyond the lease.
const LATE_SYNC_MS = 100;
const SYNC_ATTEMPTS_MAX = 5;
const ENTRIES_PER_READ = 500;
const BEGINNINGS_MAX = 3;
const NOWHERE: Link = { number: 0, code: '' };

/** Opens the lease of this process; it registers at the first use. */
export function openKeyLease(deps: {
  feed: SignedFeed;
  clocks: HolderClocks;
  randomness: Randomness;
  leaseMs: number;
}): KeyLease {
  const lease = new Lease(deps);
  return {
    ensure: () => lease.ensure(),
    sync: () => lease.sync(),
    isHeld: () => lease.isHeld(),
    leftMs: () => lease.leftMs(),
    get losses() {
      return lease.losses;
    },
    listen: (listener) => void lease.listeners.push(listener),
    get holderId() {
      return lease.holderId;
    },
    announce: (sign) => lease.announce(sign),
    incarnation: () => lease.incarnation(),
    close: () => lease.close(),
  };
}

class Lease {
  readonly #deps: Parameters<typeof openKeyLease>[0];
  readonly listeners: LossListener[] = [];
  losses = 0;
  #id: string | undefined;
  #signDoor: ((holder: string) => Promise<string>) | undefined;
  #incarnation = '';
  #cursor = NOWHERE;
  #from: { monotonicMs: number; wallMs: number } | undefined;
  #latestWallMs = 0;
  #running: Promise<void> | undefined;
  #queued: Promise<void> | undefined;
  #closing: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #isGivenUp = false;
  #announced: string | undefined;

  constructor(deps: Parameters<typeof openKeyLease>[0]) {
    this.#deps = deps;
  }

  /** Both clocks must agree that it has not run out; a wall clock that went back ends it. */
  isHeld(): boolean {
    const { clocks, leaseMs } = this.#deps;
    const wallMs = clocks.wallMs();
    if (wallMs < this.#latestWallMs) this.#from = undefined;
    this.#latestWallMs = wallMs;
    if (this.#from === undefined || this.#isClosed) return false;
    const monotonicAgeMs = clocks.monotonicMs() - this.#from.monotonicMs;
    return monotonicAgeMs < leaseMs && wallMs - this.#from.wallMs < leaseMs;
  }

  leftMs(): number {
    if (!this.isHeld()) return 0;
    const { clocks, leaseMs } = this.#deps;
    const { monotonicMs, wallMs } = this.#from!;
    return leaseMs - Math.max(clocks.monotonicMs() - monotonicMs, clocks.wallMs() - wallMs);
  }

  async ensure(): Promise<void> {
    if (!this.isHeld()) await this.sync();
  }

  async sync(): Promise<void> {
    // Whoever asked among very many may be heard only when the lease has run out again.
    for (let attempt = 0; attempt < SYNC_ATTEMPTS_MAX; attempt += 1) {
      await this.#syncOnce();
      if (this.isHeld()) return;
    }
    throw lost();
  }

  /** One at a time; whoever asks while one runs shares the next. */
  #syncOnce(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#follow().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    this.#queued ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#queued = undefined;
        return this.#syncOnce();
      });
    return this.#queued;
  }

  async #follow(begun = 0): Promise<void> {
    if (this.#isClosed) return;
    const { feed, clocks } = this.#deps;
    if (this.#id === undefined) await this.#register(await feed.head());
    const began = { monotonicMs: clocks.monotonicMs(), wallMs: clocks.wallMs() };
    const from = this.#cursor.number;
    const head = await feed.head();
    const isOlder = head.incarnation !== this.#incarnation || head.number < from;
    if (isOlder || !(await this.#catchUp(head))) {
      return this.#begin(head, begun);
    }
    const own = (await feed.roster(this.#incarnation))?.holders.get(this.#id!);
    if (own === undefined || own.struckAtMs !== null) return this.#begin(head, begun);
    this.#latestWallMs = Math.max(this.#latestWallMs, began.wallMs);
    this.#from = began;
    // Signing needs the lease that this sync has just given.
    if (this.#announced !== this.#id) void this.#tellDoor().catch(() => undefined);
  }

  /** Each registration is told anew. */
  async #tellDoor(): Promise<void> {
    const id = this.#id;
    if (this.#signDoor === undefined || id === undefined) return;
    this.#announced = id;
    await this.#deps.feed.announce(id, await this.#signDoor(id));
  }

  get holderId(): string | undefined {
    return this.#id;
  }

  /** Applies entries up to a number; false at a gap, or where the feed has gone back. */
  async #catchUp(head: FeedHead): Promise<boolean> {
    while (this.#cursor.number < head.number) {
      const { feed } = this.#deps;
      const entries = await feed.following(this.#incarnation, this.#cursor, ENTRIES_PER_READ);
      if (entries.length === 0) return false;
      for (const entry of entries) {
        this.#cursor = entry;
        const { incarnation, id, cursor } = this.#place();
        this.#apply(entry.rows, () => this.#deps.feed.acknowledge(incarnation, id, cursor));
      }
    }
    // Entries that came since the head was read are followed too.
    return this.#cursor.number > head.number || this.#cursor.code === head.code;
  }

  #place() {
    return { incarnation: this.#incarnation, id: this.#id!, cursor: this.#cursor };
  }

  /** Gives up what was taken; tells so in order, and only when what is in use was closed. */
  #apply(rows: FeedEntry['rows'], tell: () => Promise<void>): void {
    this.losses += 1;
    const told = this.listeners.map((listener) =>
      rows === 'everything' ? listener.onUnknownLoss() : listener.onLoss(rows),
    );
    this.#closing = Promise.all([this.#closing, ...told]).then(() =>
      this.#isClosed ? undefined : tell().catch(() => undefined),
    );
  }

  /** Begins anew with nothing: another incarnation, a gap, or it is not on the roster. */
  async #begin(head: FeedHead, begun: number): Promise<void> {
    this.#from = undefined;
    const { incarnation, id } = this.#place();
    // Nobody has to wait for what it was.
    this.#apply('everything', () => this.#deps.feed.leave(incarnation, id));
    // Where somebody changes the feed at every look, no lease can be had.
    if (begun === BEGINNINGS_MAX) throw lost();
    await this.#register(head);
    return this.#follow(begun + 1);
  }

  async #register({ incarnation, number, code }: FeedHead): Promise<void> {
    const { feed, randomness, leaseMs } = this.#deps;
    const id: string = randomId(randomness);
    const cursor = { number, code };
    await feed.register(incarnation, id, leaseMs, cursor);
    this.#id = id;
    this.#incarnation = incarnation;
    this.#cursor = cursor;
    this.#timer ??= setInterval(() => this.#tick(), SYNC_INTERVAL_MS).unref();
  }

  async announce(sign: (holder: string) => Promise<string>): Promise<void> {
    // One that has used no key yet registers now: it is asked like all others.
    await this.ensure();
    this.#signDoor = sign;
    await this.#tellDoor();
  }

  async incarnation(): Promise<string> {
    await this.ensure();
    return this.#incarnation;
  }

  /** Without the feed, key material is given up when the lease ends, even if no answer comes. */
  #tick(): void {
    this.#syncOnce().catch(() => undefined);
    if (this.isHeld()) this.#isGivenUp = false;
    else if (!this.#isGivenUp && !this.#isClosed) void this.#giveUp();
  }

  async #giveUp(): Promise<void> {
    // One that was only late hears now what was taken, and needs to give up nothing more.
    await Promise.race([this.#syncOnce().catch(() => undefined), sleep(LATE_SYNC_MS)]);
    if (this.isHeld() || this.#isGivenUp) return;
    this.#isGivenUp = true;
    this.losses += 1;
    for (const listener of this.listeners) void listener.onUnknownLoss();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#running?.catch(() => undefined);
    if (this.#id === undefined) return;
    await this.#deps.feed.leave(this.#incarnation, this.#id).catch(() => undefined);
  }
}

function lost(): LetheError {
  return new LetheError('LEASE_LOST', 'the lease on keys has run out: try again', {
    retryable: true,
  });
}
