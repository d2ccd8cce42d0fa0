/**
 * KeyringUse and KeyringCreate over the vault. Rings are cached by version: each use asks the vault
 * for the version of every ring it needs, so that what another process took away is seen at once.
 */
import { LRUCache } from 'lru-cache';
import { type AppId, NO_ID } from '../base/ids.ts';
import type { Randomness } from '../base/random.ts';
import { HmacKey } from '../codec/hash.ts';
import type { KeyringCreate, KeyringUse, RingOutcome } from '../keyring/keyring.ts';
import type { Ring, RingRef } from '../keyring/ring.ts';
import type { WrappingKey } from '../keyring/wrapping-key.ts';
import type { AppRegistry } from './app-registry.ts';
import { bucketKeyRow, contended, type KeyHierarchy } from './key-hierarchy.ts';
import { loadRing, newRingRow, ringRow } from './vault-rings.ts';
import {
  type RowKey,
  rowKeyToText,
  rowKinds,
  rowStates,
  type RowVersion,
  type VaultRow,
  type VaultStore,
} from './vault-store.ts';

const CACHED_RINGS_MAX = 20_000;
const CACHED_BYTES_MAX = 64 * 1024 * 1024;

interface Wanted {
  readonly ref: RingRef;
  readonly key: RowKey;
  readonly text: string;
}

/** Opens the keyring of a vault. */
export function createVaultKeyring(deps: {
  store: VaultStore;
  hierarchy: KeyHierarchy;
  apps: AppRegistry;
  randomness: Randomness;
}): KeyringUse & KeyringCreate {
  const { store, hierarchy, apps } = deps;
  const indexKeys = new Map<AppId, HmacKey>();
  const cache = new LRUCache<string, Ring>({
    max: CACHED_RINGS_MAX,
    maxSize: CACHED_BYTES_MAX,
    maxEntrySize: CACHED_BYTES_MAX * 8,
    sizeCalculation: (ring) => Math.min(ring.sizeBytes, CACHED_BYTES_MAX),
    dispose: (ring) => ring.destroyWhenUnused(),
  });
  const flying = new Map<string, Promise<RingOutcome>>();

  async function wantedOf(refs: readonly RingRef[]): Promise<(Wanted | undefined)[]> {
    const buckets = new Map<AppId, number | undefined>();
    for (const { app } of refs) {
      if (!buckets.has(app)) buckets.set(app, (await apps.find(app))?.buckets);
    }
    return refs.map((ref) => {
      const count = buckets.get(ref.app);
      if (count === undefined) return undefined;
      const key = ringRow(ref, count);
      return { ref, key, text: rowKeyToText(key) };
    });
  }

  async function readRings(wanted: readonly Wanted[]): Promise<RingOutcome[]> {
    const rows = await store.read(wanted.map((one) => one.key));
    const outcomes: RingOutcome[] = [];
    const keys = await bucketKeysOf(wanted, rows);
    for (const [i, one] of wanted.entries()) {
      const row = rows[i];
      if (row === undefined) outcomes.push('absent');
      else if (row.state === rowStates.erased) outcomes.push('erased');
      else outcomes.push(await readRing(one, row, keys.get(one.ref.app)));
    }
    return outcomes;
  }

  /** The keys of all buckets that rows lie in, by app; none for an app that was erased. */
  async function bucketKeysOf(
    wanted: readonly Wanted[],
    rows: readonly (VaultRow | undefined)[],
  ): Promise<Map<AppId, Map<number, WrappingKey>>> {
    const buckets = new Map<AppId, number[]>();
    for (const [i, { ref, key }] of wanted.entries()) {
      if (!buckets.has(ref.app)) buckets.set(ref.app, []);
      if (rows[i] !== undefined) buckets.get(ref.app)!.push(key.bucket);
    }
    const keys = new Map<AppId, Map<number, WrappingKey>>();
    for (const [app, numbers] of buckets) {
      if ((await hierarchy.appRoot(app)) === undefined) continue;
      keys.set(app, await hierarchy.bucketKeys(app, numbers));
    }
    return keys;
  }

  async function readRing(
    one: Wanted,
    row: VaultRow,
    keys: Map<number, WrappingKey> | undefined,
  ): Promise<RingOutcome> {
    if (keys === undefined) return 'erased';
    const { app } = one.ref;
    const { bucket } = one.key;
    if (keys.get(bucket)?.id !== row.wrappingKey) {
      hierarchy.forgetBucketKey(app, bucket);
      for (const [number, key] of await hierarchy.bucketKeys(app, [bucket])) keys.set(number, key);
    }
    const use = { wrapping: keys.get(bucket)!, randomness: deps.randomness };
    const ring = await loadRing(store, { ref: one.ref, row }, use);
    cache.set(one.text, ring);
    return ring;
  }

  /** Loads what is not cached, sharing loads that are under way. */
  async function load(wanted: readonly Wanted[]): Promise<RingOutcome[]> {
    const fresh = wanted.filter((one) => !flying.has(one.text));
    if (fresh.length > 0) {
      const all = readRings(fresh);
      for (const [i, one] of fresh.entries()) {
        const single = all.then((outcomes) => outcomes[i]!);
        flying.set(one.text, single);
        single.catch(() => undefined).finally(() => flying.delete(one.text));
      }
    }
    return Promise.all(wanted.map((one) => flying.get(one.text)!));
  }

  async function open(refs: readonly RingRef[]): Promise<RingOutcome[]> {
    const wanted = await wantedOf(refs);
    const known = wanted.filter((one) => one !== undefined);
    const versions = await store.versions(known.map((one) => one.key));
    const current = new Map(known.map((one, i) => [one.text, versions[i]]));
    const missing = new Map<string, Wanted>();
    for (const one of known) {
      const ring = cache.get(one.text);
      if (ring !== undefined && ring.version === current.get(one.text)?.version) continue;
      if (ring !== undefined) cache.delete(one.text);
      if (isActive(current.get(one.text))) missing.set(one.text, one);
    }
    const list = [...missing.values()];
    const loaded = await load(list);
    const outcomes = new Map(list.map((one, i) => [one.text, loaded[i]!]));
    return wanted.map((one) => {
      if (one === undefined) return 'absent';
      const version = current.get(one.text);
      if (version === undefined) return 'absent';
      if (!isActive(version)) return 'erased';
      return outcomes.get(one.text) ?? cache.get(one.text) ?? 'absent';
    });
  }

  return {
    async use(refs, work) {
      const outcomes = await open(refs);
      const rings = outcomes.filter((outcome) => typeof outcome !== 'string');
      for (const ring of rings) ring.retain();
      try {
        return await work(outcomes);
      } finally {
        for (const ring of rings) ring.release();
      }
    },
    async stale(rings) {
      const wanted = await wantedOf(rings.map((ring) => ring.ref));
      const keys = wanted.map((one) => one!.key);
      const versions = await store.versions(keys);
      const changed = rings.filter(
        (ring, i) => !isActive(versions[i]) || versions[i]!.version !== ring.version,
      );
      for (const ring of changed) cache.delete(wanted[rings.indexOf(ring)]!.text);
      return changed;
    },
    async indexKey(app) {
      const known = indexKeys.get(app);
      if (known !== undefined) return known;
      if ((await hierarchy.appRoot(app)) === undefined) return undefined;
      const { bytes } = await hierarchy.subKey(app, rowKinds.indexKey, app);
      const key = new HmacKey(bytes);
      indexKeys.set(app, key);
      return key;
    },
    async ledgerKey(app, day) {
      const id = day.toString(16).padStart(32, '0');
      return (await hierarchy.subKey(app, rowKinds.ledgerKey, id)).wrapping;
    },
    async accessKey(app) {
      const id = app === 'store' ? NO_ID : app;
      return (await hierarchy.subKey(id as AppId, rowKinds.accessKey, id)).wrapping;
    },
    async create(refs) {
      const wanted = (await wantedOf(refs)).filter((one) => one !== undefined);
      for (let attempt = 0; attempt < 8; attempt += 1) {
        const versions = await store.versions(wanted.map((one) => one.key));
        const missing = wanted.filter((_, i) => versions[i] === undefined);
        if (missing.length === 0) return;
        await insert(missing);
      }
      throw contended();
    },
  };

  async function insert(missing: readonly Wanted[]): Promise<void> {
    for (const app of new Set(missing.map((one) => one.ref.app))) {
      const own = missing.filter((one) => one.ref.app === app);
      const keys = await hierarchy.bucketKeys(
        app,
        own.map((one) => one.key.bucket),
      );
      const batches = own.map(({ key, ref }) => {
        const wrapping = keys.get(key.bucket)!;
        const guard = { key: bucketKeyRow(app, key.bucket), ownKey: wrapping.id };
        const use = { kind: ref.kind, wrapping, randomness: deps.randomness };
        return { guard, puts: [newRingRow(key, use)] };
      });
      const outcomes = await store.commit(batches);
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome === 'conflict') hierarchy.forgetBucketKey(app, own[i]!.key.bucket);
      }
    }
  }
}

function isActive(version: RowVersion | undefined): boolean {
  return version !== undefined && version.state !== rowStates.erased;
}
