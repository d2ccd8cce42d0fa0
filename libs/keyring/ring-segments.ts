/**
 * The parts of a large ring's nodes. Each is loaded when a key under it is asked for: one message
 * of a place with 10,000 holes does not cost the whole ring.
 */
import { thingPath } from '../sealing/tree-path.ts';
import { SEGMENT_BYTES_MAX, type SegmentEntry } from './ring-material.ts';
import { StoredParts } from './stored-parts.ts';

/** Segments of one ring, sorted by their first path. */
export class RingSegments extends StoredParts<SegmentEntry> {
  /** As much as all of them together may take. */
  get sizeBytes(): number {
    return this.entries.length * SEGMENT_BYTES_MAX;
  }

  /** The segments that these things' keys lie in and that are not loaded; without things, all. */
  missingFor(things?: readonly string[]): SegmentEntry[] {
    if (things === undefined) return this.missing();
    return this.missing(new Set(things.map((thing) => this.#indexOf(thingPath(thing)))));
  }

  /** The nodes among which a path's ancestor is, if it is left; undefined: it is not. */
  nodesOf(path: Uint8Array): Buffer | undefined {
    const index = this.#indexOf(path);
    return index < 0 ? undefined : this.at(index);
  }

  #indexOf(path: Uint8Array): number {
    let low = 0;
    let high = this.entries.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle]!.firstPath.compare(path) <= 0) low = middle + 1;
      else high = middle - 1;
    }
    return high;
  }
}
