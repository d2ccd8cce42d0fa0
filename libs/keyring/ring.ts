/**
 * A ring in memory: an opaque handle on the key tree of one app, owner or place. It can be used,
 * asked for its version and destroyed; its seeds never leave it and printing shows a placeholder.
 */
import type { AppId, SegmentId } from '../base/ids.ts';
import { secretBytes } from '../base/secret-bytes.ts';
import { HmacKey } from '../codec/hash.ts';
import { writeAppPart } from '../sealing/event-key.ts';
import { NODE_BYTES, walkDown, writeLeaf } from '../sealing/key-tree.ts';
import {
  PATH_BYTES,
  type RingKind,
  ringKinds,
  THING_DEPTH,
  TIME_DEPTH,
  writeThingPath,
  writeTimePath,
} from '../sealing/tree-path.ts';
import { KeptParts } from './kept-parts.ts';
import type { KeptPartsEntry, SegmentEntry, SegmentKey } from './ring-material.ts';
import { RingSegments } from './ring-segments.ts';

/** Names a ring: the app it belongs to, its kind, and the id of its app, owner or place. */
export interface RingRef {
  readonly app: AppId;
  readonly kind: RingKind;
  readonly id: string;
  /** Of a place, the things whose keys are needed; without it, any. */
  readonly things?: readonly string[];
}

/** References without repeats, by their text form; what is needed of each is put together. */
export function collectRefs(refs: Iterable<RingRef>): Map<string, RingRef> {
  const collected = new Map<string, RingRef>();
  const things = new Map<string, string[]>();
  for (const ref of refs) {
    const key = ringRefToKey(ref);
    const known = collected.get(key);
    if (ref.things === undefined) collected.set(key, ref);
    else if (known === undefined) {
      const own = [...ref.things];
      things.set(key, own);
      collected.set(key, { ...ref, things: own });
    } else if (known.things !== undefined) things.get(key)!.push(...ref.things);
  }
  return collected;
}

/** The text form of a ring reference, for maps. */
export function ringRefToKey(ref: RingRef): string {
  return ref.kind + ref.id;
}

const DAY_SEEDS_MAX = 64;
const APP_PARTS_MAX = 4_096;
const TOP_DEPTH = 2;
const USES_BEFORE_TOP_SEEDS = 64;
const path = new Uint8Array(PATH_BYTES);

/** Key material of one ring, as it was when it was loaded. */
export class Ring {
  readonly ref: RingRef;
  /** Version of the vault row this was read from; a newer row makes this ring stale. */
  readonly version: number;
  readonly #nodes: Buffer;
  readonly #segments: RingSegments | undefined;
  readonly #kept: KeptParts | undefined;
  readonly #idKey: Buffer | undefined;
  #idHmac: HmacKey | undefined;
  #destroyed = false;
  #users = 0;
  #unwanted = false;
  #revoked = false;
  #onUnused: (() => void)[] = [];
  // Oldest first; a cache object for each of thousands of rings would cost more than it saves.
  readonly #daySeeds = new Map<number, Buffer>();
  readonly #appParts = new Map<string, Buffer>();
  #topSeeds: Buffer[] | undefined;
  #uses = 0;

  constructor(
    ref: RingRef,
    version: number,
    material: {
      nodes: Buffer;
      idKey?: Buffer | undefined;
      segments?: readonly SegmentEntry[];
      kept?: readonly KeptPartsEntry[];
    },
  ) {
    this.ref = ref;
    this.version = version;
    this.#nodes = material.nodes;
    this.#idKey = material.idKey;
    const { segments = [], kept = [] } = material;
    if (segments.length > 0) this.#segments = new RingSegments(segments);
    if (kept.length > 0) this.#kept = new KeptParts(kept);
  }

  /** Bytes of key material held, for bounded caches. */
  get sizeBytes(): number {
    return this.#nodes.length + 256 + (this.#segments?.sizeBytes ?? 0);
  }

  /** The segments that must be installed before these things' keys (or, without, any) are used. */
  missingSegments(things?: readonly string[]): readonly SegmentKey[] {
    const segments = this.#segments?.missingFor(things) ?? [];
    return this.#kept === undefined ? segments : [...segments, ...this.#kept.missing()];
  }

  /** Takes over nodes of segments. */
  installSegments(loaded: ReadonlyMap<SegmentId, Buffer>): void {
    this.#segments?.install(loaded);
    this.#kept?.install(loaded);
  }

  /** The nodes to look for an ancestor of this path in; undefined: there is none. */
  #nodesOf(path: Uint8Array): Buffer | undefined {
    return this.#segments === undefined ? this.#nodes : this.#segments.nodesOf(path);
  }

  get isDestroyed(): boolean {
    return this.#destroyed;
  }

  /** Was something taken from it since it was loaded? Nothing made with it may be handed on. */
  get isRevoked(): boolean {
    return this.#revoked;
  }

  /**
   * The seed of a retention class and day (app and owner rings). The result belongs to the ring and
   * is only valid until the next call on it. Undefined: forgotten.
   */
  daySeed(retentionClass: number, day: number): Uint8Array | undefined {
    const key = retentionClass * 65_536 + day;
    const cached = this.#daySeeds.get(key);
    if (cached !== undefined) return cached;
    writeTimePath(retentionClass, day, path);
    const seed = secretBytes(32);
    const { kind } = this.ref;
    const leaf = { path, depth: TIME_DEPTH };
    if (kind === ringKinds.place) throw new TypeError('a place ring has no days');
    this.#assertUsable();
    const nodes = this.#nodesOf(path);
    if (nodes === undefined) return undefined;
    if (!writeLeaf({ kind, nodes }, leaf, { bytes: seed, at: 0 })) return undefined;
    keepNewest(this.#daySeeds, { key, value: seed, countMax: DAY_SEEDS_MAX });
    return seed;
  }

  /**
   * Writes the app part of (class, day, owner) into `target` (app rings). False: forgotten.
   * `owner` is the owner's id, `ownerBytes` its 16 bytes.
   */
  writeAppPart(
    wanted: { retentionClass: number; day: number; owner: string; ownerBytes: Uint8Array },
    target: Uint8Array,
  ): boolean {
    const key = `${wanted.retentionClass * 65_536 + wanted.day}${wanted.owner}`;
    let part = this.#appParts.get(key);
    if (part === undefined) {
      const seed = this.daySeed(wanted.retentionClass, wanted.day);
      if (seed === undefined) return false;
      part = secretBytes(32);
      writeAppPart(seed, wanted.ownerBytes, { bytes: part, at: 0 });
      keepNewest(this.#appParts, { key, value: part, countMax: APP_PARTS_MAX });
    }
    target.set(part, 0);
    return true;
  }

  /** Zeroes what an app's ring remembers for one owner, who lost something. */
  forgetOwner(owner: string): void {
    for (const [key, part] of this.#appParts) {
      if (!key.endsWith(owner)) continue;
      part.fill(0);
      this.#appParts.delete(key);
    }
  }

  /** Writes the app part that was kept for a held person (owner rings). False: none was. */
  writeKeptAppPart(retentionClass: number, day: number, target: Uint8Array): boolean {
    this.#assertUsable();
    return this.#kept?.write(retentionClass, day, target) ?? false;
  }

  /** Writes the leaf of a thing (16 id bytes) into `target` (place rings). False: forgotten. */
  writeThingLeaf(thing: Uint8Array, target: Uint8Array): boolean {
    if (this.ref.kind !== ringKinds.place) throw new TypeError('only place rings have things');
    this.#assertUsable();
    writeThingPath(thing, 0, path);
    const leaf = { path, depth: THING_DEPTH };
    const into = { bytes: target, at: 0 };
    this.#uses += 1;
    const isWhole = this.#nodes.length === NODE_BYTES;
    if (isWhole && this.#uses > USES_BEFORE_TOP_SEEDS) {
      const seed = { bytes: this.#topSeed(path[0]!), at: 0 };
      walkDown({ kind: ringKinds.place, seed, depth: TOP_DEPTH }, leaf, into);
      return true;
    }
    const nodes = this.#nodesOf(path);
    return nodes !== undefined && writeLeaf({ kind: ringKinds.place, nodes }, leaf, into);
  }

  /** The node under the first two nibbles: busy places walk from there instead of from the root. */
  #topSeed(firstByte: number): Buffer {
    this.#topSeeds ??= [];
    let seed = this.#topSeeds[firstByte];
    if (seed === undefined) {
      seed = secretBytes(32);
      const top = { path, depth: TOP_DEPTH };
      writeLeaf({ kind: ringKinds.place, nodes: this.#nodes }, top, { bytes: seed, at: 0 });
      this.#topSeeds[firstByte] = seed;
    }
    return seed;
  }

  /** The HMAC under the place's id key, which names events and messages (place rings). */
  idHmac(): HmacKey {
    if (this.#idKey === undefined) throw new TypeError('only place rings have an id key');
    this.#assertUsable();
    this.#idHmac ??= new HmacKey(this.#idKey);
    return this.#idHmac;
  }

  /** Counts a user; a ring with users is not destroyed. */
  retain(): void {
    this.#users += 1;
  }

  release(): void {
    this.#users -= 1;
    if (this.#unwanted && this.#users === 0) this.destroy();
  }

  /** Marks it and destroys it as soon as nobody uses it; resolves then. */
  revoke(): Promise<void> {
    this.#revoked = true;
    this.destroyWhenUnused();
    if (this.#destroyed) return Promise.resolve();
    return new Promise((resolve) => this.#onUnused.push(resolve));
  }

  /** Destroys the ring now, or as soon as its last user releases it. */
  destroyWhenUnused(): void {
    this.#unwanted = true;
    if (this.#users === 0) this.destroy();
  }

  // A destroyed ring must never answer "forgotten": that would be an outcome, and this is a defect.
  #assertUsable(): void {
    if (this.#destroyed) throw new TypeError('this ring was destroyed');
  }

  /** Zeroes all key material; every later use throws. */
  destroy(): void {
    this.#destroyed = true;
    this.#nodes.fill(0);
    this.#segments?.destroy();
    this.#kept?.destroy();
    this.#idKey?.fill(0);
    this.#idHmac?.destroy();
    for (const seed of this.#daySeeds.values()) seed.fill(0);
    for (const part of this.#appParts.values()) part.fill(0);
    for (const seed of this.#topSeeds ?? []) seed?.fill(0);
    this.#daySeeds.clear();
    this.#appParts.clear();
    for (const resolve of this.#onUnused.splice(0)) resolve();
  }

  toString(): string {
    return '[Ring]';
  }

  toJSON(): string {
    return '[Ring]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[Ring]';
  }
}

/** Puts key material into a bounded map; the oldest is zeroed and dropped. */
function keepNewest<Key>(
  map: Map<Key, Buffer>,
  entry: { key: Key; value: Buffer; countMax: number },
): void {
  if (map.size >= entry.countMax) {
    const [oldest] = map.keys();
    map.get(oldest!)!.fill(0);
    map.delete(oldest!);
  }
  map.set(entry.key, entry.value);
}
