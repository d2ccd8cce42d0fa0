/**
 * Merges: an edge in the discarded person's row, then one back in the survivor's, then a feed
 * entry. Whoever erases or holds one of them finds the other by it.
 */
import type { ErasureId, SubjectId } from '../base/ids.ts';
import type { App } from './app-registry.ts';
import { contended } from './key-hierarchy.ts';
import { editRow, personRow, readLiving, withId } from './person-rows.ts';
import { enterLoss, fenceRows, SHRED_ATTEMPTS_MAX, type ShredDeps } from './shred-rows.ts';
import type { RowKey, VaultRow } from './vault-store.ts';

/** See KeyringHold. */
export async function mergeRings(
  deps: ShredDeps,
  app: App,
  of: { discarded: SubjectId; survivor: SubjectId },
): Promise<'merged' | 'erased'> {
  const [one, other] = [personRow(app, of.discarded), personRow(app, of.survivor)];
  for (let attempt = 0; attempt < SHRED_ATTEMPTS_MAX; attempt += 1) {
    const holds = [...(await holdsOf(deps, one)), ...(await holdsOf(deps, other))];
    const tieTo = (id: string) => ({
      clear: (row: VaultRow) => ({
        edges: withId(row.edges, id),
        holds: holds.reduce<readonly string[]>(withId, row.holds),
      }),
    });
    if ((await editRow(deps, one, tieTo(of.survivor))) !== 'done') return 'erased';
    if ((await editRow(deps, other, tieTo(of.discarded))) !== 'done') {
      // The survivor was erased meanwhile: so is the one who turned out to be them.
      const [fence] = await deps.store.read([other]);
      const by = fence?.erasure ?? (app.id as string as ErasureId);
      await fenceRows(deps, [one], by);
      await enterLoss(deps, [one, other], by);
      return 'erased';
    }
    // A hold that came while the rows were tied may be in one of them only: then once more.
    if ((await holdsOf(deps, one)).join() !== (await holdsOf(deps, other)).join()) continue;
    await enterLoss(deps, [one, other], app.id as string as ErasureId);
    return 'merged';
  }
  throw contended();
}

async function holdsOf(deps: ShredDeps, key: RowKey): Promise<readonly string[]> {
  const row = await readLiving(deps, key);
  return typeof row === 'object' ? row.holds : [];
}
