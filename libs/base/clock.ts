/**
 * Time is passed in. `recordedAt` comes from a hybrid logical clock: it never goes back and never
 * repeats within a process, whatever the wall clock does (Kulkarni et al. 2014, local part).
 */

/** The time of day, and a clock that only runs forward. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  nowMs(): number;
  /** Milliseconds since some moment; whatever happens to the time of day, it goes on. */
  monotonicMs(): number;
}

/** The clocks of this machine. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** The clocks by which a lease runs: one that only runs forward, and the wall's. */
export interface HolderClocks {
  monotonicMs(): number;
  wallMs(): number;
}

/** The lease clocks of this machine. */
export const systemHolderClocks: HolderClocks = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** 8 bytes as 16 hex digits: u48 milliseconds ‖ u16 counter; text order is time order. */
export type RecordedAt = string & { readonly __recordedAt: never };

/** A clock for `recordedAt`. */
export interface RecordingClock {
  next(): RecordedAt;
  /** The milliseconds of the newest `recordedAt` that was handed out or must be exceeded. */
  latestMs(): number;
}

const COUNTER_MAX = 0xffff;

/**
 * A recording clock whose first value exceeds `markMs`, the durable mark of earlier processes.
 * The caller raises the mark ahead of use.
 */
export function createRecordingClock(clock: Clock, markMs: number): RecordingClock {
  let lastMs = markMs;
  let counter = COUNTER_MAX;
  return {
    next() {
      const nowMs = clock.nowMs();
      if (nowMs > lastMs) {
        lastMs = nowMs;
        counter = 0;
      } else if (counter === COUNTER_MAX) {
        lastMs += 1;
        counter = 0;
      } else {
        counter += 1;
      }
      return toRecordedAt(lastMs, counter);
    },
    latestMs: () => lastMs,
  };
}

/** The text form of milliseconds and counter. */
export function toRecordedAt(ms: number, counter: number): RecordedAt {
  return (ms.toString(16).padStart(12, '0') + counter.toString(16).padStart(4, '0')) as RecordedAt;
}

/** The milliseconds of a recording time. */
export function recordedAtMs(recordedAt: string): number {
  return Number.parseInt(recordedAt.slice(0, 12), 16);
}
