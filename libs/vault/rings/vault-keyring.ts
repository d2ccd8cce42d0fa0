/**
 * KeyringUse and KeyringCreate over the vault. Rings are used from memory while this process holds
 * its lease; what another process takes away arrives through the feed.
 */

import type { AppId } from '../../base/ids.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { KeyringCreate, KeyringUse } from '../../keyring/keyring.ts';
import type { Ring } from '../../keyring/ring.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { bucketKeyRow, PREVIOUS_KINDS } from '../rows/key-slots.ts';
import { rowKinds } from '../rows/vault-store.ts';
import { RingCache } from './ring-cache.ts';
import { type WantedRing, wantedRings } from './ring-loader.ts';
import { newRing } from './vault-rings.ts';

/** The keyring, and where new rings are handed over to it. */
export type VaultKeyring = KeyringUse &
  KeyringCreate & {
    /** Takes over rings made since `losses` was read, unless something was lost meanwhile. */
    keep(rings: readonly Ring[], losses: number): void;
  };

/** Kinds of keys that are destroyed by themselves: a revocation's, a swept day's. */
const ENDED_KINDS: readonly number[] = [rowKinds.accessKey, rowKinds.ledgerKey];

/** Opens the keyring of a vault. */
export function createVaultKeyring(deps: VaultContext): VaultKeyring {
  const { hierarchy, lease } = deps;
  const cache = new RingCache(deps);
  lease.listen({
    onLoss(rows) {
      for (const { app, kind } of rows) if (kind === rowKinds.appRoot) forgetApp(app);
      // A turn enters the ids of keys that it has retired under their kind.
      const retired = rows.filter(({ kind }) => PREVIOUS_KINDS.includes(kind));
      hierarchy.forgetKeys(new Set(retired.map((row) => row.id)));
      for (const row of rows) if (ENDED_KINDS.includes(row.kind)) hierarchy.forgetRow(row);
      return cache.revoke(rows);
    },
    onUnknownLoss() {
      hierarchy.forgetAll();
      deps.apps.drop('all');
      return cache.revokeAll();
    },
  });

  function forgetApp(app: AppId): void {
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
      try {
        return await work(outcomes);
      } finally {
        cache.release(rings);
      }
    },
    renewLease: () => lease.ensure(),
    async revoked(rings, as) {
      await (as === 'now' ? lease.sync() : lease.ensure());
      return rings.filter((ring) => ring.isRevoked);
    },
    create: (refs) => createRings(deps, refs),
  };
}

async function createRings(deps: VaultContext, refs: Parameters<KeyringCreate['create']>[0]) {
  const wanted = (await wantedRings(deps.apps, refs)).filter((one) => one !== undefined);
  return retryContended(async () => {
    const versions = await deps.store.versions(wanted.map((one) => one.key));
    const missing = wanted.filter((_, i) => versions[i] === undefined);
    if (missing.length === 0) return;
    await insertRings(deps, missing);
    return again;
  });
}

async function insertRings(deps: VaultContext, missing: readonly WantedRing[]): Promise<void> {
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
