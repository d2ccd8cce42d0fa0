/**
 * Legal holds: marks in the rows of people's rings, so that a hold and an erasure, which replaces
 * the same row, cannot both win; and a row of its own for each, by which an app's holds are found.
 */
import type { HoldId, SubjectId } from '../../base/ids.ts';
import { isLetheError } from '../../base/lethe-error.ts';
import type { KeyringHold } from '../../keyring/keyring-hold.ts';
import type { DirectoryContext } from '../directory/directory-table.ts';
import { directoryRow, referenceCodec } from '../directory/directory-table.ts';
import type { App } from '../keys/app-registry.ts';
import { rowKinds, rowStates, type VaultRow } from '../rows/vault-store.ts';
import { isWrappedUnder, wrapRow } from '../rows/wrapped-row.ts';
import { openAnyRow } from '../taking/shred-rows.ts';
import { dropHold, keepDays } from './kept-days.ts';
import { mergeRings } from './merges.ts';
import { appOf, editRow, mergedWith, personRow, readLiving, withId } from './person-rows.ts';

function holdRow(app: App, id: HoldId) {
  return directoryRow(app, rowKinds.hold, id);
}

/** The person of a hold; undefined: the row does not authenticate. */
async function targetOf(deps: DirectoryContext, row: VaultRow): Promise<SubjectId | undefined> {
  try {
    const plain = await openAnyRow(deps, row);
    return plain === 'erased'
      ? undefined
      : (referenceCodec.decodeTagged(plain).target as SubjectId);
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return undefined;
    throw error;
  }
}

/** Everybody whose ring has the mark of a hold, and authenticates. */
async function markedSubjects(deps: DirectoryContext, app: App): Promise<SubjectId[]> {
  const marked: SubjectId[] = [];
  for await (const row of deps.store.scan(rowKinds.ownerRing, app.id)) {
    if (row.holds.length === 0 || row.state === rowStates.erased) continue;
    const isWhole = isWrappedUnder(row, await deps.hierarchy.openerOf(row));
    if (isWhole) marked.push(row.id as SubjectId);
  }
  return marked;
}

/** Opens the power to hold and to merge. */
export function createKeyringHold(deps: DirectoryContext): KeyringHold {
  const { store } = deps;

  /** Its own row first: a merge that copies marks looks whether their holds are there still. */
  async function release(app: App, subject: SubjectId, hold: HoldId): Promise<void> {
    const [row] = await store.read([holdRow(app, hold)]);
    if (row !== undefined) await store.commit([{ dirties: true, removals: [row] }]);
    for (const other of await mergedWith(deps, app, subject)) {
      await dropHold(deps, personRow(app, other), hold);
    }
  }

  return {
    async hold(id, subject, hold) {
      const app = await appOf(deps, id);
      const clear = ({ holds }: VaultRow) =>
        holds.includes(hold) ? undefined : { holds: withId(holds, hold) };
      // It is there already where an old row of the person was written back.
      const key = holdRow(app, hold);
      const [previous] = await store.read([key]);
      const first = await editRow(deps, personRow(app, subject), {
        clear,
        puts: (wrapping) => {
          const plain = referenceCodec.encodeTagged({ target: subject });
          return [wrapRow({ key, ...(previous && { previous }) }, plain, wrapping)];
        },
      });
      if (first !== 'done') return first;
      for (const other of await mergedWith(deps, app, subject)) {
        if ((await editRow(deps, personRow(app, other), { clear })) === 'erased') {
          // An erasure of one of them has begun: it takes them all.
          await release(app, subject, hold);
          return 'erased';
        }
      }
      return 'held';
    },
    release: async (id, subject, hold) => release(await appOf(deps, id), subject, hold),
    async hasMark(id, subject, hold) {
      const app = await appOf(deps, id);
      const everybody = await mergedWith(deps, app, subject);
      const [own] = await store.read([holdRow(app, hold)]);
      const target = own && (await targetOf(deps, own));
      if (target !== undefined && everybody.includes(target)) return true;
      for (const one of everybody) {
        const row = await readLiving(deps, personRow(app, one));
        if (typeof row === 'object' && row.holds.includes(hold)) return true;
      }
      return false;
    },
    async heldSubjects(id) {
      const app = await appOf(deps, id);
      const held = new Set<SubjectId>();
      let isWhole = true;
      for await (const row of store.scan(rowKinds.hold, id)) {
        const target = await targetOf(deps, row);
        if (target === undefined) isWhole = false;
        else for (const one of await mergedWith(deps, app, target)) held.add(one);
      }
      // A row that does not open may be of a hold: the marks in the rings themselves say of whom.
      if (!isWhole) for (const one of await markedSubjects(deps, app)) held.add(one);
      return [...held];
    },
    async areHeld(id, owners) {
      const app = await appOf(deps, id);
      const held: boolean[] = [];
      for (const owner of owners) {
        const everybody = await mergedWith(deps, app, owner as SubjectId);
        const rows = [];
        for (const one of everybody) rows.push(await readLiving(deps, personRow(app, one)));
        held.push(rows.some((row) => typeof row === 'object' && row.holds.length > 0));
      }
      return held;
    },
    async keepDays(id, subject, days) {
      const app = await appOf(deps, id);
      await keepDays(deps, app, { subject, key: personRow(app, subject), days });
    },
    async merge(id, of, by) {
      return mergeRings(deps, await appOf(deps, id), { ...of, by });
    },
    mergedWith: async (id, subject) => mergedWith(deps, await appOf(deps, id), subject),
  };
}
