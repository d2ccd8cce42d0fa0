/** KeyringShred over the vault: rings become fences, or lose parts. Privacy alone receives it. */
import type { LossId } from '../../base/ids.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { HolderWait, PassedHolder } from '../../keyring/holder-wait.ts';
import type { KeyringShred } from '../../keyring/keyring-shred.ts';
import type { RingRef } from '../../keyring/ring.ts';
import { encodeRingMaterial, type Taken, wipeMaterial } from '../../keyring/ring-material.ts';
import type { StoreMac } from '../../keyring/store-mac.ts';
import type { SeenHolder } from '../feed/feed-wait.ts';
import { readDoor } from '../keys/signed-doors.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { isTakenFrom, takeParts } from '../rings/ring-parts.ts';
import { openRingRow, ringRow, wrapSegment } from '../rings/vault-rings.ts';
import type { RowKey } from '../rows/vault-store.ts';
import { wrapRow } from '../rows/wrapped-row.ts';
import {
  commitUnderKeys,
  currentBucketKey,
  enterLoss,
  fenceRows,
  isFence,
  mendFence,
} from './shred-rows.ts';

/** Opens the power to take key material away. Each step can be repeated. */
export function createKeyringShred(deps: VaultContext): KeyringShred {
  const { store } = deps;
  return {
    async shred(refs, loss, evenHeld) {
      const keys: RowKey[] = [];
      for (const ref of refs) {
        const app = await deps.apps.find(ref.app);
        if (app !== undefined) keys.push(ringRow(ref, app.buckets));
      }
      await fenceRows(deps, keys, loss, evenHeld);
      await enterLoss(deps, keys, loss);
    },
    async puncture(ref, taken, loss) {
      const app = await deps.apps.find(ref.app);
      if (app === undefined) return 'absent';
      const key = ringRow(ref, app.buckets);
      const outcome = await punctureRing(deps, { ref, key, taken, loss });
      await enterLoss(deps, [key], loss);
      return outcome;
    },
    isTaken: (ref, taken) =>
      retryContended(async () => {
        const app = await deps.apps.find(ref.app);
        const [row] = app === undefined ? [] : await store.read([ringRow(ref, app.buckets)]);
        if (row === undefined) return true;
        const opened = openRingRow(row, await deps.hierarchy.openerOf(row));
        if (opened === 'erased') return true;
        if (taken === 'all') {
          wipeMaterial(opened);
          return false;
        }
        return isTakenFrom(deps, ref, { material: opened, taken });
      }),
    async mendFences(refs, loss) {
      const fenced: RingRef[] = [];
      for (const ref of refs) {
        const app = await deps.apps.find(ref.app);
        if (app === undefined) continue;
        if (await mendFence(deps, ringRow(ref, app.buckets), loss)) fenced.push(ref);
      }
      return fenced;
    },
    async fencedBy(refs) {
      const fences: (LossId | null)[] = [];
      for (const ref of refs) {
        const app = await deps.apps.find(ref.app);
        const [row] = app === undefined ? [] : await store.read([ringRow(ref, app.buckets)]);
        fences.push(row !== undefined && (await isFence(deps, row)) ? row.erasure : null);
      }
      return fences;
    },
  };
}

/** Opens the wait for holders of keys. */
export function createHolderWait(
  { lossFeed }: Pick<VaultContext, 'lossFeed'>,
  mac: StoreMac,
): HolderWait {
  async function withDoor({ doorText, ...holder }: SeenHolder): Promise<PassedHolder> {
    if (doorText === null) return { ...holder, door: null, isForged: false };
    const door = await readDoor(mac, holder.holder, doorText);
    return { ...holder, door: door ?? null, isForged: door === undefined };
  }
  return {
    async passHolders() {
      const passed = await lossFeed.pass();
      return { ...passed, holders: await Promise.all(passed.holders.map(withDoor)) };
    },
    pruneFeed: () => lossFeed.prune(),
  };
}

async function punctureRing(
  deps: VaultContext,
  puncture: { ref: RingRef; key: RowKey; taken: readonly Taken[]; loss: LossId },
): Promise<'done' | 'erased' | 'absent'> {
  const { store, randomness } = deps;
  const { ref, key, taken, loss } = puncture;
  return retryContended(async () => {
    const [row] = await store.read([key]);
    if (row === undefined) return 'absent';
    const { wrapping, guard } = await currentBucketKey(deps, row);
    const opened = openRingRow(row, await deps.hierarchy.openerOf(row));
    if (opened === 'erased') return 'erased';
    const change = await takeParts(deps, ref, { material: opened, taken });
    const segments = change.written.map((part) => wrapSegment(ref, part, randomness));
    // Segments first, the row last: the row is the only commit point.
    await store.writeSegments(ref.app, segments);
    for (const { nodes } of change.written) nodes.fill(0);
    const plain = encodeRingMaterial(change.material);
    const put = wrapRow({ key, previous: row, loss }, plain, wrapping);
    plain.fill(0);
    wipeMaterial(opened);
    wipeMaterial(change.material);
    const [outcome] = await commitUnderKeys(deps, [{ guard, dirties: true, puts: [put] }]);
    const orphans = outcome === 'done' ? change.removed : change.written.map((w) => w.entry.id);
    await store.removeSegments(ref.app, orphans);
    if (outcome === 'done') {
      await store.scrub();
      return 'done';
    }
    return again;
  });
}
