/**
 * Rows that do not authenticate, as a turn meets them. Each is looked at twice, then named and left
 * as it is: it delays nobody else's T1.
 */
import { rowKeyToText, rowKinds, rowStates, type VaultRow } from '../rows/vault-store.ts';
import type { LostRing } from './turn-run.ts';
import type { DamagedRow } from './turn-store.ts';

// What is recorded and shown; more than that is a disk to be replaced.
const NAMED_MAX = 1_000;

/** The rows that one turn has found damaged. */
export class DamagedRows {
  readonly #seen = new Map<string, Buffer>();
  readonly #named = new Map<string, DamagedRow>();
  readonly #ended: ReadonlySet<string>;

  /** `ended`: rings that are fences; a living one was written back. */
  constructor(ended: readonly Pick<LostRing, 'app' | 'id'>[]) {
    this.#ended = new Set(ended.map(({ app, id }) => `${app} ${id}`));
  }

  /** Is it a ring that lives although it was ended? It goes with the key that wraps it. */
  isUndone({ app, kind, id, state }: VaultRow): boolean {
    const isRing = kind === rowKinds.ownerRing || kind === rowKinds.placeRing;
    return isRing && state !== rowStates.erased && this.#ended.has(`${app} ${id}`);
  }

  /** Notes one; false: it was not seen like this before, and is to be read again. */
  note(row: VaultRow): boolean {
    const text = rowKeyToText(row);
    const before = this.#seen.get(text);
    this.#seen.set(text, row.wrapped);
    if (before === undefined || !before.equals(row.wrapped)) return false;
    this.#named.set(text, { app: row.app, kind: row.kind, id: row.id });
    return true;
  }

  has(row: VaultRow): boolean {
    return this.#named.has(rowKeyToText(row));
  }

  get list(): DamagedRow[] {
    return [...this.#named.values()].slice(0, NAMED_MAX);
  }
}
