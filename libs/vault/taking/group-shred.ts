/**
 * The end of a group: when nobody who ever joined it or wrote in it is left, what the business said
 * there, its title and its names go too.
 */

import type { ConversationId, LossId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { RingRef } from '../../keyring/ring.ts';
import { ringKinds } from '../../sealing/tree-path.ts';
import {
  type ConversationRow,
  conversationCodec,
  type DirectoryContext,
} from '../directory/directory-table.ts';
import { membersOf } from '../directory/group-members.ts';
import type { App } from '../keys/app-registry.ts';
import { ringRow } from '../rings/vault-rings.ts';
import { rowStates, type VaultRow } from '../rows/vault-store.ts';
import { fenceRow, wrapRow } from '../rows/wrapped-row.ts';
import {
  commitUnderKeys,
  currentBucketKey,
  enterLoss,
  isErasedRow,
  removeRow,
} from './shred-rows.ts';

/** See DirectoryShred. */
export async function shredForsakenGroup(
  deps: DirectoryContext,
  app: App,
  forsaken: { group: ConversationId; by: LossId },
): Promise<'shredded' | 'kept'> {
  const { store } = deps;
  const id = forsaken.group;
  return retryContended(async () => {
    const [group] = await deps.table.conversations(app.id, [id]);
    if (typeof group !== 'object') return 'kept';
    const { wrapping, guard } = await currentBucketKey(deps, group.row);
    const refs: RingRef[] = [
      { app: app.id, kind: ringKinds.owner, id },
      { app: app.id, kind: ringKinds.place, id: group.value.messagePlace },
      { app: app.id, kind: ringKinds.place, id: group.value.profilePlace },
    ];
    const keys = refs.map((ref) => ringRow(ref, app.buckets));
    const rows = await store.read(keys);
    const live: VaultRow[] = [];
    for (const row of rows) {
      if (row !== undefined && !(await isErasedRow(deps, row))) live.push(row);
    }
    // Where the group's own ring is a fence this was decided before.
    if (live.some((row) => row.id === id) && !(await isForsaken(deps, app, group))) return 'kept';
    if (live.length === 0) {
      await enterLoss(deps, keys, forsaken.by);
      return 'shredded';
    }
    // The group's own row is written again: whoever adds a member meanwhile fails.
    const plain = conversationCodec.encodeTagged(group.value);
    const puts = [
      wrapRow({ key: group.row, previous: group.row }, plain, wrapping),
      ...live.map((row) => fenceRow(row, forsaken.by, wrapping)),
    ];
    const [outcome] = await commitUnderKeys(deps, [{ guard, dirties: true, puts }]);
    if (outcome !== 'done') return again;
    await store.scrub();
    await enterLoss(deps, keys, forsaken.by);
    return 'shredded';
  });
}

/** Removes a group's member rows, oldest first: where it stopped before, it goes on. */
export async function removeMembers(
  deps: DirectoryContext,
  app: App,
  groupId: ConversationId,
): Promise<void> {
  const [group] = await deps.table.conversations(app.id, [groupId]);
  if (typeof group !== 'object') return;
  const rows: VaultRow[] = [];
  for (let id = group.value.lastMember; id !== null; ) {
    const [member] = await deps.table.members(app.id, [id]);
    if (member === undefined) break;
    rows.push(member.row);
    id = member.value.previous;
  }
  const oldestFirst = rows.reverse();
  await deps.store.commit(oldestFirst.map((row) => ({ dirties: true, removals: [row] })));
  // What a turn has wrapped anew meanwhile.
  for (const row of oldestFirst) await removeRow(deps, row, async () => true);
  await deps.store.scrub();
}

async function isForsaken(
  deps: DirectoryContext,
  app: App,
  group: ConversationRow,
): Promise<boolean> {
  if (group.value.lastMember === null) return false;
  for await (const { value } of membersOf(deps.table, app.id, group)) {
    const key = ringRow({ app: app.id, kind: ringKinds.owner, id: value.person }, app.buckets);
    const [ring] = await deps.store.read([key]);
    // Rings of people are never removed: they end as fences.
    if (ring === undefined) {
      throw new LetheError('VAULT_TAMPERED', `the ring of a member of ${group.id} is missing`);
    }
    if (ring.state !== rowStates.erased) return false;
    await isErasedRow(deps, ring);
  }
  return true;
}
