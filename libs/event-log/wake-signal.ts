/**
 * Tells followers in the same process, on any thread, that something was appended, so that they
 * need not wait for their next look. Other processes look by themselves.
 */

/** A counter in shared memory. */
export interface WakeSignal {
  /** Hand this to a worker thread. */
  readonly memory: SharedArrayBuffer;
  notify(): void;
  /** The counter now; take it before looking, so that no notice between is missed. */
  mark(): number;
  /** Resolves at the next notice after `mark`, or after `timeoutMs`. */
  wait(mark: number, timeoutMs: number): Promise<void>;
}

/** Opens the signal; threads that were given the same memory share it. */
export function createWakeSignal(memory = new SharedArrayBuffer(4)): WakeSignal {
  const counter = new Int32Array(memory);
  return {
    memory,
    notify() {
      Atomics.add(counter, 0, 1);
      Atomics.notify(counter, 0);
    },
    mark: () => Atomics.load(counter, 0),
    async wait(mark, timeoutMs) {
      const waiting = Atomics.waitAsync(counter, 0, mark, timeoutMs);
      if (waiting.async) await waiting.value;
    },
  };
}
