/**
 * App parts that a held person's ring keeps of days that the app has lost: for opening what is
 * theirs, and nothing else.
 */
import type { KeptPartsEntry } from './ring-material.ts';
import { StoredParts } from './stored-parts.ts';

/** Bytes of an app part, a SHA-256. */
export const APP_PART_BYTES = 32;

/** The kept parts of one ring. */
export class KeptParts extends StoredParts<KeptPartsEntry> {
  /** Writes the app part of a class and day into `target`. False: it was not kept. */
  write(retentionClass: number, day: number, target: Uint8Array): boolean {
    const index = this.entries.findIndex((one) => {
      return one.retentionClass === retentionClass && one.fromDay <= day && day <= one.toDay;
    });
    if (index < 0) return false;
    const at = (day - this.entries[index]!.fromDay) * APP_PART_BYTES;
    target.set(this.at(index).subarray(at, at + APP_PART_BYTES), 0);
    return true;
  }
}
