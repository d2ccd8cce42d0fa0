/** What an attacker with the vault's disk would have of rings, taken down in memory. */
import type { CapturedRings } from '../keyring/keyring.ts';
import type { RingRef } from '../keyring/ring.ts';
import { openAnyRow, type ShredDeps } from './shred-rows.ts';
import { ringRow } from './vault-rings.ts';
import type { RowKey } from './vault-store.ts';

/** Takes the rows down as they are now. */
export async function captureRings(
  deps: ShredDeps,
  refs: readonly RingRef[],
): Promise<CapturedRings> {
  const keys: RowKey[] = [];
  for (const ref of refs) {
    const app = await deps.apps.find(ref.app);
    if (app !== undefined) keys.push(ringRow(ref, app.buckets));
  }
  const rows = (await deps.store.read(keys)).filter((row) => row !== undefined);
  return {
    count: rows.length,
    async countOpening() {
      let opening = 0;
      for (const row of rows) {
        const opened = await openAnyRow(deps, row).catch(() => undefined);
        if (opened === undefined || opened === 'erased') continue;
        opened.fill(0);
        opening += 1;
      }
      return opening;
    },
  };
}
