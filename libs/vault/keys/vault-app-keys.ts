/** AppKeys over the vault. Index keys are kept opened; they go with their app. */
import { type AppId, type LossId, NO_ID } from '../../base/ids.ts';
import { randomId } from '../../base/random.ts';
import { HmacKey, sha256 } from '../../codec/hash.ts';
import type { AppKeys } from '../../keyring/app-keys.ts';
import { type RowKey, rowKinds } from '../rows/vault-store.ts';
import type { VaultContext } from './vault-context.ts';

/** Where the key of an access key lies: by a hash of its id, which is longer than row ids are. */
function accessRow(app: AppId | 'store', id: string): RowKey {
  const name = sha256(Buffer.from(id)).toString('hex', 0, 16);
  const owner = (app === 'store' ? NO_ID : app) as AppId;
  return { app: owner, bucket: 0, kind: rowKinds.accessKey, id: name };
}

/** Opens an app's keys. */
export function createAppKeys(deps: Omit<VaultContext, 'apps'>): AppKeys {
  const { hierarchy, lease, lossFeed, randomness, store } = deps;
  const indexKeys = new Map<AppId, HmacKey>();
  lease.listen({
    async onLoss(rows) {
      for (const { app, kind } of rows) {
        if (kind !== rowKinds.appRoot) continue;
        indexKeys.get(app)?.destroy();
        indexKeys.delete(app);
      }
    },
    async onUnknownLoss() {
      for (const key of indexKeys.values()) key.destroy();
      indexKeys.clear();
    },
  });
  return {
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
    async accessKey(app, id, make) {
      const row = accessRow(app, id);
      if (make) return (await hierarchy.subKey(row.app, row.kind, row.id)).wrapping;
      return (await hierarchy.findSubKey(row.app, row.kind, row.id))?.wrapping;
    },
    async endAccessKey(app, id) {
      const key = accessRow(app, id);
      const [row] = await store.read([key]);
      if (row === undefined) return;
      // The store's own root is replaced by every turn; an app's only if something of it was lost.
      const dirties = app === 'store' ? {} : { dirties: true as const };
      await store.commit([{ ...dirties, removals: [row] }]);
      await store.scrub();
      const loss = randomId<LossId>(randomness);
      await lossFeed.enter([{ app: row.app, kind: row.kind, id: row.ownKey! }], loss);
      await lease.sync();
    },
  };
}
