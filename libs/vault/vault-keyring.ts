/**
 * KeyringUse and KeyringCreate over the vault. Rings are cached by version: each use asks the vault
 * for the version of every ring it needs, so that what another process took away is seen at once.
 */
import { type AppId, NO_ID } from '../base/ids.ts';
import type { Randomness } from '../base/random.ts';
import { HmacKey } from '../codec/hash.ts';
import type { KeyringCreate, KeyringUse } from '../keyring/keyring.ts';
import { ringKinds } from '../sealing/tree-path.ts';
import type { AppRegistry } from './app-registry.ts';
import { bucketKeyRow, contended, type KeyHierarchy } from './key-hierarchy.ts';
import { createRingCache, type RingCache } from './ring-cache.ts';
import { type WantedRing, wantedRings } from './ring-loader.ts';
import { newRing } from './vault-rings.ts';
import { rowKinds, type VaultStore } from './vault-store.ts';

/** Opens the keyring of a vault. */
export function createVaultKeyring(deps: {
  store: VaultStore;
  hierarchy: KeyHierarchy;
  apps: AppRegistry;
  randomness: Randomness;
}): KeyringUse & KeyringCreate & Pick<RingCache, 'evict' | 'keep'> {
  const { store, hierarchy, apps } = deps;
  const indexKeys = new Map<AppId, HmacKey>();
  const cache = createRingCache(deps);

  return {
    async use(refs, work) {
      const { outcomes, rings } = await cache.openRetained(refs);
      try {
        return await work(outcomes);
      } finally {
        for (const ring of rings) ring.release();
      }
    },
    stale: cache.stale,
    async evict(refs) {
      for (const { app, kind } of refs) {
        if (kind !== ringKinds.app) continue;
        indexKeys.get(app)?.destroy();
        indexKeys.delete(app);
      }
      await cache.evict(refs);
    },
    keep: cache.keep,
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
      const wanted = (await wantedRings(apps, refs)).filter((one) => one !== undefined);
      for (let attempt = 0; attempt < 8; attempt += 1) {
        const versions = await store.versions(wanted.map((one) => one.key));
        const missing = wanted.filter((_, i) => versions[i] === undefined);
        if (missing.length === 0) return;
        await insertRings(deps, missing);
      }
      throw contended();
    },
  };
}

async function insertRings(
  deps: { store: VaultStore; hierarchy: KeyHierarchy; randomness: Randomness },
  missing: readonly WantedRing[],
): Promise<void> {
  const { store, hierarchy, randomness } = deps;
  for (const app of new Set(missing.map((one) => one.ref.app))) {
    const own = missing.filter((one) => one.ref.app === app);
    const buckets = own.map((one) => one.key.bucket);
    const keys = await hierarchy.bucketKeys(app, buckets);
    const batches = own.map(({ key, ref }) => {
      const wrapping = keys.get(key.bucket)!;
      const guard = { key: bucketKeyRow(app, key.bucket), ownKey: wrapping.id };
      const { row, ring } = newRing(key, { kind: ref.kind, wrapping, randomness });
      ring.destroy();
      return { guard, puts: [row] };
    });
    const outcomes = await store.commit(batches);
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome === 'conflict') hierarchy.forgetBucketKey(app, own[i]!.key.bucket);
    }
  }
}
