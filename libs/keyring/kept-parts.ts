/**
 * App parts that a held person's ring keeps of days that the app has lost: for opening what is
 * theirs, and nothing else.
 */
import type { SegmentId } from '../base/ids.ts';
import type { KeptPartsEntry } from './ring-material.ts';

export const APP_PART_BYTES = 32;

/** The kept parts of one ring. */
export class KeptParts {
  readonly #entries: readonly KeptPartsEntry[];
  readonly #parts: (Buffer | undefined)[] = [];
  #destroyed = false;

  constructor(entries: readonly KeptPartsEntry[]) {
    this.#entries = entries;
  }

  missing(): KeptPartsEntry[] {
    return this.#entries.filter((_, i) => this.#parts[i] === undefined);
  }

  /** Takes loaded parts over; they are zeroed when it is destroyed. */
  install(loaded: ReadonlyMap<SegmentId, Buffer>): void {
    for (const [i, { id }] of this.#entries.entries()) {
      const parts = loaded.get(id);
      if (parts === undefined) continue;
      if (this.#destroyed || this.#parts[i] !== undefined) parts.fill(0);
      else this.#parts[i] = parts;
    }
  }

  /** Writes the app part of a class and day into `target`. False: it was not kept. */
  write(retentionClass: number, day: number, target: Uint8Array): boolean {
    const index = this.#entries.findIndex((one) => {
      return one.retentionClass === retentionClass && one.fromDay <= day && day <= one.toDay;
    });
    if (index < 0) return false;
    const parts = this.#parts[index];
    if (parts === undefined) throw new TypeError('the kept parts of this ring were not loaded');
    const at = (day - this.#entries[index]!.fromDay) * APP_PART_BYTES;
    target.set(parts.subarray(at, at + APP_PART_BYTES), 0);
    return true;
  }

  destroy(): void {
    this.#destroyed = true;
    for (const { key } of this.#entries) key.fill(0);
    for (const parts of this.#parts) parts?.fill(0);
  }
}
