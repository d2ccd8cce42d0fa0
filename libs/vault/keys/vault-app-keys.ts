/** AppKeys over the vault. Index keys are kept opened; they go with their app. */
import { type AppId, NO_ID } from '../../base/ids.ts';
import { HmacKey } from '../../codec/hash.ts';
import type { AppKeys } from '../../keyring/app-keys.ts';
import { rowKinds } from '../rows/vault-store.ts';
import type { VaultContext } from './vault-context.ts';

/** Opens an app's keys. */
export function createAppKeys({
  hierarchy,
  lease,
}: Pick<VaultContext, 'hierarchy' | 'lease'>): AppKeys {
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
    async accessKey(app) {
      const id = app === 'store' ? NO_ID : app;
      return (await hierarchy.subKey(id as AppId, rowKinds.accessKey, id)).wrapping;
    },
  };
}
