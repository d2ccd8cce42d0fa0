/** The number of the first generation of views that are made anew. */
import { randomInt } from 'node:crypto';

/**
 * Never one that was used before. A group of the log is named by it: whoever filled the views that
 * were here, and are lost, had got further than these have.
 */
export function firstGeneration(): number {
  return 1 + randomInt(1_000_000_000);
}
