/**
 * Which rings an answer was made with: whoever writes the answer looks at them once more, after
 * everything that was unsealed has been put together.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Ring } from './ring.ts';

const scopes = new AsyncLocalStorage<UsedRings>();

/** The rings that were used since it was made, in one flow of calls. */
export class UsedRings {
  readonly #rings = new Set<Ring>();

  /** Runs work so that every ring it uses is noted here. */
  during<Result>(work: () => Result): Result {
    return scopes.run(this, work);
  }

  note(rings: readonly Ring[]): void {
    for (const ring of rings) this.#rings.add(ring);
  }

  list(): Ring[] {
    return [...this.#rings];
  }
}

/** Notes rings in the scope of this flow, if it has one. */
export function noteUsed(rings: readonly Ring[]): void {
  scopes.getStore()?.note(rings);
}
