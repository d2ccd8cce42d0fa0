/** AppKeys over the vault. Index keys are kept opened; they go with their app. */
import { type AppId, type LossId, NO_ID } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { randomId } from '../../base/random.ts';
import { again, retryContended } from '../../base/retry.ts';
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

function ledgerRow(app: AppId, day: number): RowKey {
  return { app, bucket: 0, kind: rowKinds.ledgerKey, id: day.toString(16).padStart(32, '0') };
}

// A sweep that did not run for as long leaves keys, which the next turn of the app keeps.
const DAYS_LOOKED_AT = 100;

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
  /** Key rows go, and every holder of keys drops what they held. */
  async function destroy(keys: readonly RowKey[], as: { dirties?: true }): Promise<void> {
    await retryContended(async () => {
      const rows = (await store.read(keys)).filter((row) => row !== undefined);
      if (rows.length === 0) return;
      // A turn may wrap them anew meanwhile: until they are not there any more.
      await store.commit(rows.map((row) => ({ ...as, removals: [row] })));
      return again;
    });
    await store.scrub();
    // Also when they had gone before: a run that ended then may not have told.
    await lossFeed.enter(keys, randomId<LossId>(randomness));
    await lease.sync();
    await lossFeed.pass();
  }

  return {
    async indexKey(app) {
      await lease.ensure();
      const known = indexKeys.get(app);
      if (known !== undefined) return known;
      if ((await hierarchy.appRoot(app)) === undefined) return undefined;
      const found = await hierarchy.findSubKey(app, rowKinds.indexKey, app);
      // With another one nobody who is known would be found: they would come anew, erased or not.
      if (found === undefined) {
        const text = `the key of the names of app ${app} is missing from the vault`;
        throw new LetheError('VAULT_TAMPERED', text);
      }
      const key = new HmacKey(found.bytes);
      indexKeys.set(app, key);
      return key;
    },
    async ledgerKey(app, day) {
      const row = ledgerRow(app, day);
      return (await hierarchy.subKey(row.app, row.kind, row.id)).wrapping;
    },
    async endLedgerKeys(app, before) {
      const days = Array.from({ length: DAYS_LOOKED_AT }, (_, i) => before - 1 - i);
      const past = days.filter((day) => day >= 0).map((day) => ledgerRow(app, day));
      const rows = (await store.read(past)).filter((row) => row !== undefined);
      if (rows.length > 0) await destroy(rows, {});
    },
    async accessKey(app, id, make) {
      const row = accessRow(app, id);
      if (make) return (await hierarchy.subKey(row.app, row.kind, row.id)).wrapping;
      return (await hierarchy.findSubKey(row.app, row.kind, row.id))?.wrapping;
    },
    async endAccessKey(app, id) {
      // The store's own root is replaced by every turn; an app's only if something of it was lost.
      await destroy([accessRow(app, id)], app === 'store' ? {} : { dirties: true });
    },
  };
}
