/**
 * KeyringUse and KeyringCreate over the vault. Rings are used from memory while this process holds
 * its lease; what another process takes away arrives through the feed.
 */

import { type AppId, NO_ID } from '../../base/ids.ts';
import type { Randomness } from '../../base/random.ts';
import { again, retryContended } from '../../base/retry.ts';
import { HmacKey } from '../../codec/hash.ts';
import type { KeyringCreate, KeyringUse } from '../../keyring/keyring.ts';
import type { Ring } from '../../keyring/ring.ts';
import { noteUsed } from '../../keyring/used-rings.ts';
import type { KeyLease } from '../feed/key-lease.ts';
import type { OwedEntries } from '../feed/owed-entries.ts';
import type { AppRegistry } from '../keys/app-registry.ts';
import type { KeyHierarchy } from '../keys/key-hierarchy.ts';
import { bucketKeyRow, PREVIOUS_KINDS } from '../rows/key-slots.ts';
import { rowKinds, type VaultStore } from '../rows/vault-store.ts';
import { RingCache } from './ring-cache.ts';
import { type WantedRing, wantedRings } from './ring-loader.ts';
import { newRing } from './vault-rings.ts';

interface Deps {
  readonly store: VaultStore;
  readonly hierarchy: KeyHierarchy;
  readonly apps: AppRegistry;
  readonly randomness: Randomness;
  readonly lease: KeyLease;
  readonly lossFeed: OwedEntries['lossFeed'];
}

/** The keyring, and where new rings are handed over to it. */
export type VaultKeyring = KeyringUse &
  KeyringCreate & {
    /** Takes over rings made since `losses` was read, unless something was lost meanwhile. */
    keep(rings: readonly Ring[], losses: number): void;
  };

/** Opens the keyring of a vault. */
export function createVaultKeyring(deps: Deps): VaultKeyring {
  const { hierarchy, lease } = deps;
  const indexKeys = new Map<AppId, HmacKey>();
  const cache = new RingCache(deps);
  lease.listen({
    onLoss(rows) {
      for (const { app, kind } of rows) if (kind === rowKinds.appRoot) forgetApp(app);
      // A turn enters the ids of keys that it has retired under their kind.
      const retired = rows.filter(({ kind }) => PREVIOUS_KINDS.includes(kind));
      hierarchy.forgetKeys(new Set(retired.map((row) => row.id)));
      return cache.revoke(rows);
    },
    onUnknownLoss() {
      for (const key of indexKeys.values()) key.destroy();
      indexKeys.clear();
      hierarchy.forgetAll();
      deps.apps.drop('all');
      return cache.revokeAll();
    },
  });

  function forgetApp(app: AppId): void {
    indexKeys.get(app)?.destroy();
    indexKeys.delete(app);
    hierarchy.forgetApp(app);
    deps.apps.drop(app);
  }

  return {
    losses: () => lease.losses,
    vouches: (rings) => lease.isHeld() && !rings.some((ring) => ring.isRevoked),
    listen(listener) {
      lease.listen({
        onLoss: async (rows) => listener(new Set(rows.map((row) => row.id))),
        onUnknownLoss: async () => listener('unknown'),
      });
    },
    keep(rings, losses) {
      if (losses === lease.losses) cache.keep(rings);
      else for (const ring of rings) ring.destroy();
    },
    async use(refs, work) {
      await lease.ensure();
      const { outcomes, rings } = await cache.openRetained(refs);
      noteUsed(rings);
      try {
        return await work(outcomes);
      } finally {
        cache.release(rings);
      }
    },
    async revoked(rings, as) {
      await (as === 'now' ? lease.sync() : lease.ensure());
      return rings.filter((ring) => ring.isRevoked);
    },
    async indexKey(app) {
      await lease.ensure();
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
    create: (refs) => createRings(deps, refs),
  };
}

async function createRings(deps: Deps, refs: Parameters<KeyringCreate['create']>[0]) {
  const wanted = (await wantedRings(deps.apps, refs)).filter((one) => one !== undefined);
  return retryContended(async () => {
    const versions = await deps.store.versions(wanted.map((one) => one.key));
    const missing = wanted.filter((_, i) => versions[i] === undefined);
    if (missing.length === 0) return;
    await insertRings(deps, missing);
    return again;
  });
}

async function insertRings(deps: Deps, missing: readonly WantedRing[]): Promise<void> {
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
