/**
 * Merges: an edge in the discarded person's row, then one back in the survivor's, then a feed
 * entry. Whoever erases or holds one of them finds the other by it.
 */
import type { HoldId, LossId, SubjectId } from '../../base/ids.ts';
import type { DirectoryContext } from '../directory/directory-table.ts';
import { directoryRow } from '../directory/directory-table.ts';
import type { App } from '../keys/app-registry.ts';
import { rowKinds, type VaultRow } from '../rows/vault-store.ts';
import { enterLoss, fenceRows } from '../taking/shred-rows.ts';
import { dropHold } from './kept-days.ts';
import { editRow, mergedWith, personRow, readLiving, withId } from './person-rows.ts';

/** See KeyringHold. */
export async function mergeRings(
  deps: DirectoryContext,
  app: App,
  pair: { discarded: SubjectId; survivor: SubjectId; by: LossId },
): Promise<'merged' | 'erased' | 'absent'> {
  const [one, other] = [personRow(app, pair.discarded), personRow(app, pair.survivor)];
  const rows = [await readLiving(deps, one), await readLiving(deps, other)];
  if (rows.includes('absent')) return 'absent';
  const tieTo = (id: string) => ({
    clear: (row: VaultRow) => ({ edges: withId(row.edges, id) }),
  });
  if ((await editRow(deps, one, tieTo(pair.survivor))) !== 'done') return 'erased';
  if ((await editRow(deps, other, tieTo(pair.discarded))) !== 'done') {
    // The survivor was erased meanwhile: so is the one who turned out to be them.
    await fenceRows(deps, [one], pair.by);
    await enterLoss(deps, [one, other], pair.by);
    return 'erased';
  }
  await shareHolds(deps, app, pair.survivor);
  await enterLoss(deps, [one, other], pair.by);
  return 'merged';
}

/** Everybody who is one now has the holds of each; one that ended meanwhile goes from all. */
async function shareHolds(deps: DirectoryContext, app: App, subject: SubjectId): Promise<void> {
  const keys = (await mergedWith(deps, app, subject)).map((id) => personRow(app, id));
  const holds = new Set<string>();
  for (const key of keys) {
    const row = await readLiving(deps, key);
    if (typeof row === 'object') for (const hold of row.holds) holds.add(hold);
  }
  for (const key of keys) {
    await editRow(deps, key, {
      clear: (row) => ({ holds: [...holds].reduce<readonly string[]>(withId, row.holds) }),
    });
  }
  for (const hold of holds as Set<HoldId>) {
    const [row] = await deps.store.read([directoryRow(app, rowKinds.hold, hold)]);
    if (row === undefined) for (const key of keys) await dropHold(deps, key, hold);
  }
}
