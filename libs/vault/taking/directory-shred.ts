/** DirectoryShred over the vault: entries and names go. Privacy alone receives it. */
import type { AppId, ConversationId, IndexId, LossId, PlaceId, SubjectId } from '../../base/ids.ts';
import { randomId, randomIdInBucket } from '../../base/random.ts';
import { again, retryContended } from '../../base/retry.ts';
import { ringKinds } from '../../sealing/tree-path.ts';
import type { ClearedKind, DirectoryShred } from '../directory/directory.ts';
import {
  conversationCodec,
  type DirectoryContext,
  directoryRow,
  type ReferenceKind,
  subjectCodec,
} from '../directory/directory-table.ts';
import type { App } from '../keys/app-registry.ts';
import { newRing, ringRow } from '../rings/vault-rings.ts';
import { appRootRow, STORE_ROOT } from '../rows/key-slots.ts';
import { type RowKind, rowKinds, rowStates, type VaultRow } from '../rows/vault-store.ts';
import { fenceRow, wrapRow } from '../rows/wrapped-row.ts';
import { removeMembers, shredForsakenGroup } from './group-shred.ts';
import {
  commitUnderKeys,
  currentBucketKey,
  enterLoss,
  fenceRows,
  isErasedRow,
  removeRow,
} from './shred-rows.ts';

/** Opens the power to take entries and names away. Each step can be repeated. */
export function createDirectoryShred(deps: DirectoryContext): DirectoryShred {
  const { store } = deps;
  return {
    async removeIdentities(app, { id, value }) {
      const rows = value.identities.map(({ row }) => row);
      await removeReferences(deps, app, { kind: rowKinds.identity, rows, target: id });
    },
    async markAlias(app, { value }) {
      const id = (await deps.table.names(app.id)).alias(value.alias);
      await mark(deps, app, { kind: rowKinds.alias, id });
    },
    async removeSubject(app, { id, version }) {
      const key = directoryRow(app, rowKinds.subject, id);
      const [outcome] = await store.commit([{ dirties: true, removals: [{ ...key, version }] }]);
      await store.scrub();
      return outcome === 'done';
    },
    async removeConversation(app, { id, value }) {
      const rows = value.externalRow === null ? [] : [value.externalRow];
      const kind = rowKinds.externalConversation;
      if (rows.length > 0) await removeReferences(deps, app, { kind, rows, target: id });
      await removeMembers(deps, app, id);
      await mark(deps, app, { kind: rowKinds.conversation, id });
    },
    replacePlace: (app, cleared, by) => replacePlace(deps, app, { ...cleared, by }),
    shredForsakenGroup: (app, group, by) => shredForsakenGroup(deps, app, { group, by }),
    async removeAppRoot(app, by) {
      await fenceRoot(deps, app, by);
      await store.scrub();
      await enterLoss(deps, [appRootRow(app)], by);
    },
  };
}

/** Removes references, but only those that still lead to `target`: a name may be in use anew. */
async function removeReferences(
  deps: DirectoryContext,
  app: App,
  given: { kind: ReferenceKind; rows: readonly IndexId[]; target: string },
): Promise<void> {
  const { kind, target } = given;
  for (const id of given.rows) {
    await removeRow(deps, directoryRow(app, kind, id), async () => {
      const [leadsTo] = await deps.table.references(app.id, kind, [id]);
      return leadsTo === target;
    });
  }
  await deps.store.scrub();
}

/**
 * Turns a row into a marker that names nobody. It carries an id of its own: with that of the loss,
 * whoever knows the name would find the rings that were lost with it, and their headers on the log.
 */
async function mark(
  deps: DirectoryContext,
  app: App,
  row: { kind: RowKind; id: string },
): Promise<void> {
  const id = randomId<LossId>(deps.randomness);
  await fenceRows(deps, [directoryRow(app, row.kind, row.id)], id);
}

/** An app's root lies under the store's, and is fenced under it. */
async function fenceRoot(deps: DirectoryContext, app: AppId, by: LossId): Promise<void> {
  const { store, hierarchy } = deps;
  return retryContended(async () => {
    const [root] = await store.read([appRootRow(app)]);
    if (root === undefined || (await isErasedRow(deps, root))) return;
    const storeRoot = await hierarchy.storeRoot();
    const guard = { key: STORE_ROOT, ownKey: storeRoot.id };
    await store.commit([{ guard, puts: [fenceRow(root, by, storeRoot)] }]);
    hierarchy.forgetBucketKey(app, 0);
    return again;
  });
}

/** The directory entry that names a place, and the same entry naming another one. */
async function placeHolder(
  deps: DirectoryContext,
  app: App,
  cleared: { of: string; kind: ClearedKind },
): Promise<{ row: VaultRow; place: PlaceId; withPlace(place: PlaceId): Buffer } | undefined> {
  if (cleared.kind === 'messages') {
    const id = cleared.of as ConversationId;
    const [entry] = await deps.table.conversations(app.id, [id]);
    if (entry === undefined || entry === 'erased') return undefined;
    const { row, value } = entry;
    const withPlace = (messagePlace: PlaceId) =>
      conversationCodec.encodeTagged({ ...value, messagePlace });
    return { row, place: value.messagePlace, withPlace };
  }
  const [entry] = await deps.table.subjects(app.id, [cleared.of as SubjectId]);
  if (entry === undefined) return undefined;
  const { row, value } = entry;
  const withPlace = (profilePlace: PlaceId) =>
    subjectCodec.encodeTagged({ ...value, profilePlace, nameMark: null });
  return { row, place: value.profilePlace, withPlace };
}

async function replacePlace(
  deps: DirectoryContext,
  app: App,
  cleared: { of: string; kind: ClearedKind; place: PlaceId; by: LossId },
): Promise<'done' | 'absent'> {
  const { store, randomness } = deps;
  const kind = ringKinds.place;
  return retryContended(async () => {
    const holder = await placeHolder(deps, app, cleared);
    if (holder === undefined) return 'absent';
    if (holder.place !== cleared.place) {
      // Replaced before, perhaps by a run that ended before it was entered. Its ring is a fence,
      // but where old rows were written back.
      const replaced = [ringRow({ app: app.id, kind, id: cleared.place }, app.buckets)];
      await fenceRows(deps, replaced, cleared.by);
      await enterLoss(deps, replaced, cleared.by);
      return 'done';
    }
    const { wrapping, guard } = await currentBucketKey(deps, holder.row);
    const place = randomIdInBucket<PlaceId>(randomness, holder.row.bucket);
    const [old] = await store.read([ringRow({ app: app.id, kind, id: holder.place }, app.buckets)]);
    if (old === undefined) return 'absent';
    const newKey = ringRow({ app: app.id, kind, id: place }, app.buckets);
    const made = newRing(newKey, { kind, wrapping, randomness });
    made.ring.destroy();
    const puts = [
      made.row,
      wrapRow({ key: holder.row, previous: holder.row }, holder.withPlace(place), wrapping),
    ];
    if (old.state !== rowStates.erased) puts.push(fenceRow(old, cleared.by, wrapping));
    const [outcome] = await commitUnderKeys(deps, [{ guard, dirties: true, puts }]);
    if (outcome === 'done') {
      await store.scrub();
      await enterLoss(deps, [old], cleared.by);
      return 'done';
    }
    return again;
  });
}
