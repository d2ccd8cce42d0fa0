/**
 * Loaded rings, usable while the lease is held. Concurrent misses for one ring share one load; a
 * load about which a loss arrives meanwhile is not installed (S02).
 */

import { LRUCache } from 'lru-cache';
import type { AppId } from '../../base/ids.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { RingOutcome } from '../../keyring/keyring.ts';
import { Ring, type RingRef } from '../../keyring/ring.ts';
import { ringKinds } from '../../sealing/tree-path.ts';
import type { FeedRow } from '../feed/feed-store.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { PREVIOUS_KINDS } from '../rows/key-slots.ts';
import { rowKeyToText, rowKinds } from '../rows/vault-store.ts';
import { completeRing, readRings, type WantedRing, wantedRings } from './ring-loader.ts';
import { ringText } from './vault-rings.ts';

const CACHED_RINGS_MAX = 8_000;
const FENCES_MAX = 20_000;
const CACHED_BYTES_MAX = 64 * 1024 * 1024;
const COUNTED_BYTES_MAX = CACHED_BYTES_MAX / 64;
/**
 * After so long a ring is read anew. An old row that somebody wrote back for a moment would
 * otherwise open words for as long as the process runs.
 */
const RING_AGE_MS_MAX = 30_000;
/** A load under way. */
interface Flight {
  readonly outcome: Promise<RingOutcome>;
  isRevoked: boolean;
}

/** The rings of one process. */
export class RingCache {
  readonly #deps: VaultContext;
  readonly #rings = new LRUCache<string, Ring>({
    max: CACHED_RINGS_MAX,
    maxSize: CACHED_BYTES_MAX,
    // A large ring is rarely loaded whole: it does not push out all others.
    sizeCalculation: (ring) => Math.min(ring.sizeBytes, COUNTED_BYTES_MAX),
    dispose: (ring) => ring.destroyWhenUnused(),
  });
  // A fence that authenticated is never taken back.
  readonly #fences = new LRUCache<string, true>({ max: FENCES_MAX });
  readonly #flights = new Map<string, Flight>();
  readonly #readAtMs = new WeakMap<Ring, number>();
  // What was read before a turn ended counts no more: the turn has looked at every row.
  #countsFromMs = Number.NEGATIVE_INFINITY;
  // Rings in use that have left the cache: a loss must reach them too.
  readonly #inUse = new Map<Ring, number>();

  constructor(deps: VaultContext) {
    this.#deps = deps;
  }

  /** Opens rings and retains them; the caller releases them with `release`. */
  async openRetained(
    refs: readonly RingRef[],
  ): Promise<{ outcomes: RingOutcome[]; rings: readonly Ring[] }> {
    return retryContended(async () => {
      const outcomes = await this.#open(refs);
      const rings = outcomes.filter((outcome) => typeof outcome !== 'string');
      // One that was loaded among very many may have been pushed out, or revoked, meanwhile.
      if (rings.some((ring) => ring.isDestroyed || ring.isRevoked)) return again;
      for (const ring of rings) {
        ring.retain();
        this.#inUse.set(ring, (this.#inUse.get(ring) ?? 0) + 1);
      }
      try {
        if (await this.#complete(refs, outcomes)) return { outcomes, rings };
      } catch (error) {
        this.release(rings);
        throw error;
      }
      this.release(rings);
      return again;
    });
  }

  release(rings: readonly Ring[]): void {
    for (const ring of rings) {
      ring.release();
      const users = this.#inUse.get(ring)! - 1;
      if (users === 0) this.#inUse.delete(ring);
      else this.#inUse.set(ring, users);
    }
  }

  /** Takes over rings whose rows have just become durable. */
  keep(rings: readonly Ring[]): void {
    for (const ring of rings) this.#keep(ringText(ring.ref), ring, performance.now());
  }

  #keep(text: string, ring: Ring, readAtMs: number): void {
    this.#rings.set(text, ring);
    this.#readAtMs.set(ring, readAtMs);
  }

  /** A cached ring that was read a short while ago. */
  #fresh(text: string): Ring | undefined {
    const ring = this.#rings.get(text);
    if (ring === undefined) return undefined;
    const oldestMs = Math.max(performance.now() - RING_AGE_MS_MAX, this.#countsFromMs);
    if (this.#readAtMs.get(ring)! >= oldestMs) return ring;
    this.#rings.delete(text);
    return undefined;
  }

  /** Revokes what is cached, loading or in use of these rows; resolves when none is in use. */
  async revoke(rows: readonly FeedRow[]): Promise<void> {
    const apps = new Set(rows.filter(({ kind }) => kind === rowKinds.appRoot).map((r) => r.app));
    for (const row of rows) if (row.kind === rowKinds.ownerRing) this.#forgetOwner(row);
    if (rows.some(({ kind }) => PREVIOUS_KINDS.includes(kind))) {
      this.#countsFromMs = performance.now();
    }
    const texts = new Set(rows.map(rowKeyToText));
    const isLost = (text: string, { app }: { app: string }) =>
      texts.has(text) || apps.has(app as AppId);
    await this.#revokeWhere(isLost, texts, apps.size > 0);
  }

  /** The app's ring lives on; what it has derived for an owner goes with the owner's own. */
  #forgetOwner({ app, id }: FeedRow): void {
    const isOfApp = ({ ref }: Ring) => ref.kind === ringKinds.app && ref.app === app;
    for (const ring of this.#inUse.keys()) if (isOfApp(ring)) ring.forgetOwner(id);
    this.#rings.peek(ringText({ app, kind: ringKinds.app, id: app }))?.forgetOwner(id);
  }

  async revokeAll(): Promise<void> {
    await this.#revokeWhere(() => true, new Set(), true);
  }

  async #revokeWhere(
    isLost: (text: string, ref: { app: string }) => boolean,
    texts: ReadonlySet<string>,
    isWide: boolean,
  ): Promise<void> {
    const lost = new Set<Ring>();
    const cached = isWide ? [...this.#rings.keys()] : [...texts];
    for (const text of cached) {
      const ring = this.#rings.peek(text);
      if (ring !== undefined && isLost(text, ring.ref)) lost.add(ring);
    }
    for (const ring of this.#inUse.keys()) {
      if (isLost(ringText(ring.ref), ring.ref)) lost.add(ring);
    }
    for (const [text, flight] of this.#flights) {
      if (isWide || texts.has(text)) flight.isRevoked = true;
    }
    const unused = [...lost].map((ring) => ring.revoke());
    for (const ring of lost) this.#rings.delete(ringText(ring.ref));
    await Promise.all(unused);
  }

  async #open(refs: readonly RingRef[]): Promise<RingOutcome[]> {
    const { apps } = this.#deps;
    const wanted = await wantedRings(apps, refs);
    // Rings that are cached are held here: while others are loaded they may leave the cache.
    const outcomes = new Map<string, RingOutcome>();
    const missing = new Map<string, WantedRing>();
    for (const one of wanted) {
      if (one === undefined) continue;
      const cached = this.#fresh(one.text) ?? (this.#fences.get(one.text) && 'erased');
      if (cached === undefined) missing.set(one.text, one);
      else outcomes.set(one.text, cached);
    }
    for (const [text, outcome] of await this.#load([...missing.values()])) {
      outcomes.set(text, outcome);
    }
    return Promise.all(
      wanted.map(async (one, i) => {
        if (one !== undefined) return outcomes.get(one.text) ?? 'absent';
        return (await apps.wasErased(refs[i]!.app)) ? 'erased' : 'absent';
      }),
    );
  }

  /**
   * Loads what is asked for of large rings. False: one has changed since, and is opened anew by
   * whoever asks again. The rings are retained: nothing zeroes them meanwhile.
   */
  async #complete(refs: readonly RingRef[], outcomes: readonly RingOutcome[]): Promise<boolean> {
    let isWhole = true;
    for (const [i, ref] of refs.entries()) {
      const ring = outcomes[i];
      if (!(ring instanceof Ring) || ring.missingSegments(ref.things).length === 0) continue;
      const [wanted] = await wantedRings(this.#deps.apps, [ref]);
      if (wanted !== undefined && (await completeRing(this.#deps, ring, wanted))) continue;
      if (this.#rings.peek(ringText(ref)) === ring) this.#rings.delete(ringText(ref));
      void ring.revoke();
      isWhole = false;
    }
    return isWhole && !outcomes.some((ring) => ring instanceof Ring && ring.isRevoked);
  }

  /** Loads rings, each once however many ask for it. */
  async #load(wanted: readonly WantedRing[]): Promise<Map<string, RingOutcome>> {
    const outcomes = new Map<string, RingOutcome>();
    let left = wanted;
    return retryContended(async () => {
      this.#takeOff(left.filter((one) => !this.#flights.has(one.text)));
      const flights = left.map((one) => this.#flights.get(one.text)!);
      const landed = await Promise.all(flights.map((flight) => flight.outcome));
      // What a loss arrived about while it was loaded is loaded anew.
      for (const [i, one] of left.entries()) {
        if (!flights[i]!.isRevoked) outcomes.set(one.text, landed[i]!);
      }
      left = left.filter((_, i) => flights[i]!.isRevoked);
      return left.length === 0 ? outcomes : again;
    });
  }

  #takeOff(wanted: readonly WantedRing[]): void {
    if (wanted.length === 0) return;
    const begunMs = performance.now();
    const all = readRings(this.#deps, wanted);
    for (const [i, { text }] of wanted.entries()) {
      const outcome = all.then((outcomes) => this.#land(text, outcomes[i]!, begunMs));
      this.#flights.set(text, { outcome, isRevoked: false });
      outcome.catch(() => this.#flights.delete(text));
    }
  }

  #land(text: string, outcome: RingOutcome, begunMs: number): RingOutcome {
    const { isRevoked } = this.#flights.get(text)!;
    this.#flights.delete(text);
    if (outcome === 'erased') this.#fences.set(text, true);
    if (typeof outcome === 'string') return outcome;
    if (isRevoked) outcome.destroy();
    else this.#keep(text, outcome, begunMs);
    return outcome;
  }
}
