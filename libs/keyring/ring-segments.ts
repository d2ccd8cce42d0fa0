/**
 * The parts of a large ring's nodes: each is loaded when a key under it is asked for, so that one
 * message of a place with 10,000 holes does not cost the whole ring.
 */
import type { SegmentId } from '../base/ids.ts';
import { thingPath } from '../sealing/tree-path.ts';
import { SEGMENT_BYTES_MAX, type SegmentEntry } from './ring-material.ts';

/** Segments of one ring, sorted by their first path. */
export class RingSegments {
  readonly #entries: readonly SegmentEntry[];
  readonly #nodes: (Buffer | undefined)[] = [];
  #destroyed = false;

  constructor(entries: readonly SegmentEntry[]) {
    this.#entries = entries;
  }

  /** As much as all of them together may take. */
  get sizeBytes(): number {
    return this.#entries.length * SEGMENT_BYTES_MAX;
  }

  /** The segments that these things' keys lie in and that are not loaded; without things, all. */
  missing(things?: readonly string[]): SegmentEntry[] {
    if (things === undefined) return this.#entries.filter((_, i) => this.#nodes[i] === undefined);
    const needed = new Set(things.map((thing) => this.#indexOf(thingPath(thing))));
    return [...needed].flatMap((index) => {
      return this.#nodes[index] === undefined ? (this.#entries[index] ?? []) : [];
    });
  }

  /** Takes loaded nodes over; they are zeroed when it is destroyed. */
  install(loaded: ReadonlyMap<SegmentId, Buffer>): void {
    for (const [i, { id }] of this.#entries.entries()) {
      const nodes = loaded.get(id);
      if (nodes === undefined) continue;
      if (this.#destroyed || this.#nodes[i] !== undefined) nodes.fill(0);
      else this.#nodes[i] = nodes;
    }
  }

  /** The nodes among which a path's ancestor is, if it is left; undefined: it is not. */
  nodesOf(path: Uint8Array): Buffer | undefined {
    const index = this.#indexOf(path);
    if (index < 0) return undefined;
    const nodes = this.#nodes[index];
    if (nodes === undefined) throw new TypeError('this segment of the ring was not asked for');
    return nodes;
  }

  #indexOf(path: Uint8Array): number {
    let low = 0;
    let high = this.#entries.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.#entries[middle]!.firstPath.compare(path) <= 0) low = middle + 1;
      else high = middle - 1;
    }
    return high;
  }

  destroy(): void {
    this.#destroyed = true;
    for (const { key } of this.#entries) key.fill(0);
    for (const nodes of this.#nodes) nodes?.fill(0);
  }
}
