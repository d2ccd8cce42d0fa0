/** Ends an access key for good, also for stores that are restored from older backups. */
import { type AppId, NO_ID, type RequestId } from '../../libs/base/ids.ts';
import { randomId } from '../../libs/base/random.ts';
import type { AdministrationPowers } from '../../libs/wiring/powers.ts';

/**
 * Revokes it; resolves when no process takes it any more. False: there is no such key, or it was
 * revoked before.
 */
export async function revokeKey(powers: AdministrationPowers, key: string): Promise<boolean> {
  const { accessKeys, accessKeyStore, clock, erasures, randomness } = powers;
  const row = await accessKeyStore.find(key);
  if (row === undefined) return false;
  const atMs = clock.nowMs();
  const of = { id: randomId<RequestId>(randomness), app: row.app ?? (NO_ID as AppId) };
  // Before it ends: a restore must know of it even if this process dies here.
  if (row.revokedAtMs === null) {
    await erasures.add([{ ...of, kind: 'revoke-key', target: { key }, atMs }]);
  }
  return accessKeys.revoke(row, atMs);
}
