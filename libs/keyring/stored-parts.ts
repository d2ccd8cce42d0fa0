/** Parts of a ring that are stored beside its row: loaded when asked for, and zeroed with it. */
import type { SegmentId } from '../base/ids.ts';
import type { SegmentKey } from './ring-material.ts';

/** The parts of one ring, in the order of their entries. */
export class StoredParts<Entry extends SegmentKey> {
  readonly entries: readonly Entry[];
  readonly #parts: (Buffer | undefined)[] = [];
  #destroyed = false;

  constructor(entries: readonly Entry[]) {
    this.entries = entries;
  }

  /** The entries that are not loaded yet; of all, or of those at these indexes. */
  missing(indexes: Iterable<number> = this.entries.keys()): Entry[] {
    return [...indexes].flatMap((index) => {
      return this.#parts[index] === undefined ? (this.entries[index] ?? []) : [];
    });
  }

  /** Takes loaded parts over. */
  install(loaded: ReadonlyMap<SegmentId, Buffer>): void {
    for (const [i, { id }] of this.entries.entries()) {
      const part = loaded.get(id);
      if (part === undefined) continue;
      if (this.#destroyed || this.#parts[i] !== undefined) part.fill(0);
      else this.#parts[i] = part;
    }
  }

  /** One that was asked for and installed; anything else is a defect of the caller. */
  at(index: number): Buffer {
    const part = this.#parts[index];
    if (part === undefined) throw new TypeError('this part of the ring was not asked for');
    return part;
  }

  destroy(): void {
    this.#destroyed = true;
    for (const { key } of this.entries) key.fill(0);
    for (const part of this.#parts) part?.fill(0);
  }
}
