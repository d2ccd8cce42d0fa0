/**
 * Port: the durable mark that recording clocks exceed. It is raised ahead of use, so that a process
 * that starts after a crash never repeats a `recordedAt` of an earlier one.
 *
 * Failures: STATE_UNREACHABLE (retryable).
 */
import { type Clock, createRecordingClock, type RecordingClock } from '../base/clock.ts';

/** A time that every later recording exceeds; it only rises. */
export interface ClockMark {
  read(): Promise<number>;
  /** Raises the mark to at least `ms`, durably. */
  raise(ms: number): Promise<void>;
}

const AHEAD_MS = 30_000;

/** A recording clock that keeps its mark raised; call `keepAhead` before each batch. */
export interface DurableClock extends RecordingClock {
  keepAhead(): Promise<void>;
}

/** Opens the recording clock over a durable mark. */
export async function openDurableClock(mark: ClockMark, clock: Clock): Promise<DurableClock> {
  const recording = createRecordingClock(clock, await mark.read());
  let raisedMs = 0;
  return {
    next: recording.next,
    latestMs: recording.latestMs,
    async keepAhead() {
      const neededMs = Math.max(recording.latestMs(), clock.nowMs());
      if (neededMs + AHEAD_MS / 2 <= raisedMs) return;
      raisedMs = neededMs + AHEAD_MS;
      await mark.raise(raisedMs);
    },
  };
}
