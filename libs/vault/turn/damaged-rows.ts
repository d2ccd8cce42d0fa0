/**
 * Rows that do not authenticate, as a turn meets them. Each is looked at twice, then named and left
 * as it is: it delays nobody else's T1.
 */
import { rowKeyToText, type VaultRow } from '../rows/vault-store.ts';
import type { DamagedRow } from './turn-store.ts';

// What is recorded and shown; more than that is a disk to be replaced.
const NAMED_MAX = 1_000;

/** The rows that one turn has found damaged. */
export class DamagedRows {
  readonly #seen = new Map<string, Buffer>();
  readonly #named = new Map<string, DamagedRow>();

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
