/**
 * Loaded rings by version. Concurrent misses for one ring share one load; a ring that is evicted is
 * destroyed once nobody uses it.
 */
import { LRUCache } from 'lru-cache';
import type { Randomness } from '../base/random.ts';
import type { RingOutcome } from '../keyring/keyring.ts';
import type { Ring, RingRef } from '../keyring/ring.ts';
import type { AppRegistry } from './app-registry.ts';
import { contended, type KeyHierarchy } from './key-hierarchy.ts';
import { readRings, type WantedRing, wantedRings } from './ring-loader.ts';
import { ringText } from './vault-rings.ts';
import { type RowVersion, rowStates, type VaultStore } from './vault-store.ts';

const CACHED_RINGS_MAX = 20_000;
const FENCES_MAX = 20_000;
const CACHED_BYTES_MAX = 64 * 1024 * 1024;

export interface RingCache {
  /** Opens rings and retains them; the caller releases them. */
  openRetained(refs: readonly RingRef[]): Promise<{ outcomes: RingOutcome[]; rings: Ring[] }>;
  /** Drops rings that were taken away, so that their key material is zeroed at once. */
  evict(refs: readonly RingRef[]): Promise<void>;
  /** Takes over rings whose rows have just become durable. */
  keep(rings: readonly Ring[]): void;
  /** The rings whose row has changed since; they are dropped. */
  stale(rings: readonly Ring[]): Promise<Ring[]>;
}

/** Opens an empty cache over the vault. */
export function createRingCache(deps: {
  store: VaultStore;
  hierarchy: KeyHierarchy;
  apps: AppRegistry;
  randomness: Randomness;
}): RingCache {
  const { store, apps } = deps;
  const cache = newRingLru();
  // Fences that authenticated, by the version they had.
  const fences = new LRUCache<string, number>({ max: FENCES_MAX });
  const load = createSharedLoad(deps, (text, ring) => cache.set(text, ring));

  async function open(refs: readonly RingRef[]): Promise<RingOutcome[]> {
    const wanted = await wantedRings(apps, refs);
    const known = wanted.filter((one) => one !== undefined);
    const versions = await store.versions(known.map((one) => one.key));
    const current = new Map(known.map((one, i) => [one.text, versions[i]]));
    const missing = new Map<string, WantedRing>();
    // Rings that are current are held here: while others are loaded they may leave the cache.
    const outcomes = new Map<string, RingOutcome>();
    for (const one of known) {
      const ring = cache.get(one.text);
      if (ring !== undefined && ring.version === current.get(one.text)?.version) {
        outcomes.set(one.text, ring);
        continue;
      }
      if (ring !== undefined) cache.delete(one.text);
      const version = current.get(one.text)?.version;
      if (version === undefined) continue;
      if (fences.get(one.text) === version) outcomes.set(one.text, 'erased');
      else missing.set(one.text, one);
    }
    const list = [...missing.values()];
    const loaded = await load(list);
    for (const [i, one] of list.entries()) {
      outcomes.set(one.text, loaded[i]!);
      if (loaded[i] === 'erased') fences.set(one.text, current.get(one.text)!.version);
    }
    return Promise.all(
      wanted.map((one, i) =>
        one === undefined ? outcomeOfApp(apps, refs[i]!) : (outcomes.get(one.text) ?? 'absent'),
      ),
    );
  }

  /** A ring can be evicted between its load and its first use when very many are loaded at once. */
  async function openRetained(refs: readonly RingRef[]) {
    for (let attempt = 0; attempt < 8; attempt += 1) {
      const outcomes = await open(refs);
      const rings = outcomes.filter((outcome) => typeof outcome !== 'string');
      if (rings.some((ring) => ring.isDestroyed)) continue;
      for (const ring of rings) ring.retain();
      return { outcomes, rings };
    }
    throw contended();
  }

  return {
    openRetained,
    async evict(refs) {
      for (const one of await wantedRings(apps, refs)) if (one) cache.delete(one.text);
    },
    keep(rings) {
      for (const ring of rings) cache.set(ringText(ring.ref), ring);
    },
    async stale(rings) {
      const wanted = await wantedRings(
        apps,
        rings.map((ring) => ring.ref),
      );
      const keys = wanted.map((one) => one!.key);
      const versions = await store.versions(keys);
      const changed = rings.filter(
        (ring, i) => !isActive(versions[i]) || versions[i]!.version !== ring.version,
      );
      for (const ring of changed) {
        const text = wanted[rings.indexOf(ring)]?.text;
        if (text !== undefined && cache.peek(text) === ring) cache.delete(text);
      }
      return changed;
    },
  };
}

function newRingLru(): LRUCache<string, Ring> {
  return new LRUCache<string, Ring>({
    max: CACHED_RINGS_MAX,
    maxSize: CACHED_BYTES_MAX,
    maxEntrySize: CACHED_BYTES_MAX * 8,
    sizeCalculation: (ring) => Math.min(ring.sizeBytes, CACHED_BYTES_MAX),
    dispose: (ring) => ring.destroyWhenUnused(),
  });
}

async function outcomeOfApp(apps: AppRegistry, { app }: RingRef): Promise<RingOutcome> {
  return (await apps.wasErased(app)) ? 'erased' : 'absent';
}

/** Loads rings so that concurrent calls for the same one share its load. */
function createSharedLoad(
  deps: { store: VaultStore; hierarchy: KeyHierarchy; randomness: Randomness },
  onLoaded: (text: string, ring: Ring) => void,
): (wanted: readonly WantedRing[]) => Promise<RingOutcome[]> {
  const flying = new Map<string, Promise<RingOutcome>>();
  return async (wanted) => {
    const fresh = wanted.filter((one) => !flying.has(one.text));
    if (fresh.length > 0) {
      const all = readRings(deps, fresh);
      for (const [i, one] of fresh.entries()) {
        const single = all.then((outcomes) => {
          const outcome = outcomes[i]!;
          if (typeof outcome !== 'string') onLoaded(one.text, outcome);
          return outcome;
        });
        flying.set(one.text, single);
        single.catch(() => undefined).finally(() => flying.delete(one.text));
      }
    }
    return Promise.all(wanted.map((one) => flying.get(one.text)!));
  };
}

function isActive(version: RowVersion | undefined): boolean {
  return version !== undefined && version.state !== rowStates.erased;
}
