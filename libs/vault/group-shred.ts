/**
 * The end of a group: when nobody who ever joined it or wrote in it is left, what the business said
 * there, its title and its names go too.
 */
import type { ErasureId } from '../base/ids.ts';
import type { RingRef } from '../keyring/ring.ts';
import { ringKinds } from '../sealing/tree-path.ts';
import type { App } from './app-registry.ts';
import { type ConversationEntry, conversationCodec } from './directory.ts';
import { membersOf } from './group-members.ts';
import { contended } from './key-hierarchy.ts';
import { currentBucketKey, SHRED_ATTEMPTS_MAX, type ShredDeps } from './shred-rows.ts';
import { ringRow } from './vault-rings.ts';
import { rowStates } from './vault-store.ts';
import { fenceRow, openRow, wrapRow } from './wrapped-row.ts';

/** See DirectoryShred. */
export async function shredForsakenGroup(
  deps: ShredDeps,
  app: App,
  forsaken: { group: ConversationEntry; by: ErasureId },
): Promise<'shredded' | 'kept'> {
  const { store } = deps;
  const { id } = forsaken.group;
  for (let attempt = 0; attempt < SHRED_ATTEMPTS_MAX; attempt += 1) {
    const [group] = await deps.directory.conversations(app.id, [id]);
    if (typeof group !== 'object' || !(await isForsaken(deps, app, group))) return 'kept';
    const { wrapping, guard } = await currentBucketKey(deps, group.row);
    const refs: RingRef[] = [
      { app: app.id, kind: ringKinds.owner, id },
      { app: app.id, kind: ringKinds.place, id: group.value.messagePlace },
      { app: app.id, kind: ringKinds.place, id: group.value.profilePlace },
    ];
    const rows = await store.read(refs.map((ref) => ringRow(ref, app.buckets)));
    const live = rows.filter((row) => row !== undefined && openRow(row, wrapping) !== 'erased');
    // The group's own row is written again: whoever adds a member meanwhile fails.
    const plain = conversationCodec.encodeTagged(group.value);
    const puts = [
      wrapRow({ key: group.row, previous: group.row }, plain, wrapping),
      ...live.map((row) => fenceRow(row!, forsaken.by, wrapping)),
    ];
    const [outcome] = await store.commit([{ guard, puts }]);
    if (outcome !== 'done') continue;
    await store.scrub();
    await deps.evict(refs);
    return 'shredded';
  }
  throw contended();
}

async function isForsaken(deps: ShredDeps, app: App, group: ConversationEntry): Promise<boolean> {
  if (group.value.lastMember === null) return false;
  for await (const { value } of membersOf(deps.directory, app.id, group)) {
    const key = ringRow({ app: app.id, kind: ringKinds.owner, id: value.person }, app.buckets);
    const [ring] = await deps.store.read([key]);
    if (ring === undefined || ring.state !== rowStates.erased) return false;
    const { wrapping } = await currentBucketKey(deps, ring);
    openRow(ring, wrapping);
  }
  return true;
}
