/**
 * What this process has done so far, for its metrics. Only numbers: nothing here tells who or what.
 * A thread counts by itself.
 */
export const tally = {
  eventsSealed: 0,
  eventsUnsealed: 0,
  kmsFailures: 0,
  /** Called with the milliseconds from the first fence of an erasure to its T0. */
  t0Listeners: new Set<(milliseconds: number) => void>(),
};
