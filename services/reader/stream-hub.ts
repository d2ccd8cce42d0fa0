/**
 * Streams of an app that have caught up are served together: an event is read and opened once for
 * all of them. One that lags behind, or whose client reads slowly, is served alone until it has
 * caught up. Few of those are at work at a time, so that others who read do not wait for them.
 */
import type { AppId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { endLongTurn } from '../../libs/base/loop-turns.ts';
import type { LogPosition } from '../../libs/event-log/event-log.ts';
import type { AppCursors } from '../../libs/event-log/log-cursors.ts';
import type { WakeSignal } from '../../libs/event-log/wake-signal.ts';
import { type NotedUse, noteUse } from '../../libs/keyring/noted-use.ts';
import { checkpointsOf, waitForViews } from '../../libs/projection/views-behind.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';
import { type OpenEvent, readStream, type StreamRecord, sealOffsets } from './live-stream.ts';

const LOOK_INTERVAL_MS = 250;
const OPEN_ATTEMPTS_MAX = 5;
const KEEP_ALIVE_MS = 15_000;
const ALONE_MAX = 4;

/**
 * Writes text; `opened` is what it was opened with, and may be handed on at that moment. What is
 * returned resolves when the client has taken enough that more can be written; undefined: it can.
 */
export type WriteEvent = (text: string, opened?: NotedUse) => Promise<void> | undefined;

/** One client's stream. */
export interface StreamMember {
  readonly app: AppId;
  readonly cursors: AppCursors;
  /** The next offset of each partition; they move with what is written. */
  readonly offsets: number[];
  readonly write: WriteEvent;
  readonly signal: AbortSignal;
}

/** Is told that a member's client is slow: it leaves the round. */
type OnSlow = (member: StreamMember, drained: Promise<void>) => void;

/** The streams of one process. */
export class StreamHub {
  readonly #powers: ReaderPowers;
  readonly #wake: WakeSignal;
  readonly #groups = new Map<AppId, Group>();
  readonly #waiting: (() => void)[] = [];
  #alone = 0;

  constructor(powers: ReaderPowers, wake: WakeSignal) {
    this.#powers = powers;
    this.#wake = wake;
  }

  /** Serves a stream until its signal ends it. Throws what reading and opening throw. */
  async serve(member: StreamMember): Promise<void> {
    // Where it goes on: a client that is slow in one partition is not kept from the others.
    let partition = 0;
    while (!member.signal.aborted) {
      const round = new Set([member]);
      let drained: Promise<void> | undefined;
      const onSlow: OnSlow = (_, wait) => {
        drained = wait;
        round.clear();
      };
      const served = await this.#fewAtOnce(() =>
        serveRound(this.#powers, { members: round, onSlow, from: partition }),
      );
      const { count } = served;
      partition = served.next;
      if (drained !== undefined) await drained;
      else if (count === 0) await this.#together(member);
    }
  }

  async #fewAtOnce<Result>(work: () => Promise<Result>): Promise<Result> {
    while (this.#alone >= ALONE_MAX) await new Promise<void>((goOn) => this.#waiting.push(goOn));
    this.#alone += 1;
    try {
      return await work();
    } finally {
      this.#alone -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Serves it with the others until its client is slow, or its signal ends it. */
  async #together(member: StreamMember): Promise<void> {
    const { app } = member;
    let group = this.#groups.get(app);
    if (group === undefined) {
      group = new Group(this.#powers, this.#wake);
      this.#groups.set(app, group);
    }
    await group.follow(member);
    if (group.isEmpty && this.#groups.get(app) === group) this.#groups.delete(app);
  }
}

interface Seat {
  spokenMs: number;
  /** Lets its member go; when its client can be written to again, if that is to be waited for. */
  leave(drained?: Promise<void>): void;
  fail(error: unknown): void;
}

/** The streams of one app that have caught up. */
class Group {
  readonly #powers: ReaderPowers;
  readonly #wake: WakeSignal;
  readonly #seats = new Map<StreamMember, Seat>();
  #isRunning = false;

  constructor(powers: ReaderPowers, wake: WakeSignal) {
    this.#powers = powers;
    this.#wake = wake;
  }

  get isEmpty(): boolean {
    return this.#seats.size === 0;
  }

  /** Resolves when the member has left, and its client can be written to. */
  follow(member: StreamMember): Promise<void> {
    const { signal } = member;
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        signal.removeEventListener('abort', leave);
        if (this.#seats.delete(member)) settle();
      };
      const leave = () => end(resolve);
      this.#seats.set(member, {
        spokenMs: performance.now(),
        leave: (drained) => end(() => resolve(drained)),
        fail: (error) => end(() => reject(error)),
      });
      signal.addEventListener('abort', leave);
      if (signal.aborted) leave();
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      while (!this.isEmpty) {
        const mark = this.#wake.mark();
        const round = new Set(this.#seats.keys());
        const onSlow: OnSlow = (member, drained) => {
          round.delete(member);
          this.#seats.get(member)?.leave(drained);
        };
        const served = await serveRound(this.#powers, { members: round, onSlow, from: 0 });
        const { count, waitsFor } = served;
        this.#keepAlive(count);
        if (count > 0) continue;
        if (waitsFor === undefined) await this.#wake.wait(mark, LOOK_INTERVAL_MS);
        else await waitForViews(this.#powers, [waitsFor], LOOK_INTERVAL_MS);
      }
    } catch (error) {
      for (const seat of [...this.#seats.values()]) seat.fail(error);
    } finally {
      this.#isRunning = false;
    }
  }

  /** A proxy ends connections on which nothing is said for long. */
  #keepAlive(count: number): void {
    const nowMs = performance.now();
    for (const [member, seat] of this.#seats) {
      if (count === 0 && nowMs - seat.spokenMs < KEEP_ALIVE_MS) continue;
      seat.spokenMs = nowMs;
      if (count > 0) continue;
      const { cursors, offsets } = member;
      const drained = member.write(`id: ${sealOffsets(cursors, offsets)}\n: still here\n\n`);
      if (drained !== undefined) seat.leave(drained);
    }
  }
}

interface Round {
  readonly members: ReadonlySet<StreamMember>;
  readonly onSlow: OnSlow;
  /** The partition to begin with. */
  readonly from: number;
}

interface Served {
  /** How many records. */
  readonly count: number;
  /** The partition to begin with the next time. */
  readonly next: number;
  /** The first record that the views do not have yet: it is left to a later round. */
  readonly waitsFor?: LogPosition | undefined;
}

/**
 * Hands the next records of each partition on to members of one app, to each what it has not had.
 * It ends early where all have left.
 */
async function serveRound(powers: ReaderPowers, { members, onSlow, from }: Round): Promise<Served> {
  const { partitions } = powers.log;
  let count = 0;
  let seen: readonly number[] | undefined;
  let waitsFor: LogPosition | undefined;
  const isSeen = async ({ needsViews, partition, offset }: StreamRecord) => {
    if (!needsViews) return true;
    seen ??= await checkpointsOf(powers);
    return offset < (seen[partition] ?? 0);
  };
  for (let looked = 0; looked < partitions; looked += 1) {
    const partition = (from + looked) % partitions;
    const [first] = members;
    if (first === undefined) return { count, next: partition };
    const offset = Math.min(...[...members].map(({ offsets }) => offsets[partition]!));
    for (const record of await readStream(powers, first.app, { partition, offset })) {
      if (!(await isSeen(record))) {
        waitsFor ??= record;
        break;
      }
      const due = [...members].filter(({ offsets }) => offsets[partition]! <= record.offset);
      for (const { offsets } of due) offsets[partition] = record.offset + 1;
      count += 1;
      const { open } = record;
      const isOpened = open === undefined || (await handOn(powers, open, due, onSlow));
      if (!isOpened && record.needsViews) {
        // Other views may serve since, which do not have it yet; else it is asked for once more.
        seen = undefined;
        if (!(await isSeen(record))) {
          for (const { offsets } of due) offsets[partition] = record.offset;
          waitsFor ??= record;
          break;
        }
        await handOn(powers, open!, due, onSlow);
      }
      if (members.size === 0) break;
    }
  }
  return { count, next: from, waitsFor };
}

/**
 * Opens an event and writes it to each, if what it was opened with still stands at that very
 * moment; else it is opened again for those who are left. False: there is nothing to tell.
 */
export async function handOn(
  powers: ReaderPowers,
  open: OpenEvent,
  members: readonly StreamMember[],
  onSlow: OnSlow,
): Promise<boolean> {
  const { keyring } = powers;
  const left = members.filter(({ signal }) => !signal.aborted);
  for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX && left.length > 0; attempt += 1) {
    const noted = noteUse(powers);
    const opened = await open({ ...powers, keyring: noted.keyring, sealer: noted.sealer });
    if (opened === undefined) return false;
    const body = `event: ${opened.type}\ndata: ${JSON.stringify(opened)}\n\n`;
    while (left.length > 0 && keyring.vouches(noted.usedRings())) {
      const member = left.shift()!;
      const { cursors, offsets, signal } = member;
      const id = sealOffsets(cursors, offsets);
      const drained = signal.aborted ? undefined : member.write(`id: ${id}\n${body}`, noted);
      if (drained !== undefined) onSlow(member, drained);
      await endLongTurn();
    }
    if (left.length > 0) await keyring.renewLease();
  }
  if (left.length === 0) return true;
  throw new LetheError('CONTENDED', 'rings change too fast: resume', { retryable: true });
}
