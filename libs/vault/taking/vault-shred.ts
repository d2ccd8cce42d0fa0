/**
 * KeyringShred over the vault, and the removal of directory rows. Privacy alone receives these.
 * Each step is durable on return and can be repeated.
 */

import type {
  AppId,
  ConversationId,
  IndexId,
  LossId,
  PlaceId,
  SegmentId,
  SubjectId,
} from '../../base/ids.ts';
import { randomIdInBucket } from '../../base/random.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { KeyringShred } from '../../keyring/keyring.ts';
import type { RingRef } from '../../keyring/ring.ts';
import {
  encodeRingMaterial,
  type MaterialChange,
  punctureMaterial,
  type RingMaterial,
  segmentsOf,
  type Taken,
} from '../../keyring/ring-material.ts';
import { ringKinds } from '../../sealing/tree-path.ts';
import {
  type ConversationEntry,
  conversationCodec,
  directoryRow,
  type ReferenceKind,
  type SubjectEntry,
  subjectCodec,
} from '../directory/directory.ts';
import type { App } from '../keys/app-registry.ts';
import { loadSegments, newRing, openRingRow, ringRow, wrapSegment } from '../rings/vault-rings.ts';
import { appRootRow, STORE_ROOT } from '../rows/key-slots.ts';
import { type RowKey, type RowKind, rowStates, type VaultRow } from '../rows/vault-store.ts';
import { fenceRow, wrapRow } from '../rows/wrapped-row.ts';
import { removeMembers, shredForsakenGroup } from './group-shred.ts';
import { captureRings } from './ring-captures.ts';
import {
  commitUnderKeys,
  currentBucketKey,
  enterLoss,
  fenceRows,
  isFence,
  openAnyRow,
  type ShredDeps,
} from './shred-rows.ts';

/** Removal of directory rows and of an app's root. */
export interface DirectoryShred {
  /** Removes references, but only those that still lead to `target`: a name may be in use anew. */
  removeReferences(
    app: App,
    rows: readonly { kind: ReferenceKind; id: IndexId }[],
    target: string,
  ): Promise<void>;
  /** Removes a subject's row if it is still the one that was read; false when it has changed. */
  removeSubject(entry: SubjectEntry): Promise<boolean>;
  /** Turns a row into a marker that names nobody. */
  mark(app: App, row: { kind: RowKind; id: string }, by: LossId): Promise<void>;
  /**
   * Clears a conversation's messages or a person's profile: the place becomes a fence and a new one
   * takes over, in one conditional batch. `done` also when `place` is not the current one any more.
   */
  replacePlace(
    app: App,
    cleared: { of: ConversationId | SubjectId; kind: ClearedKind; place: PlaceId },
    by: LossId,
  ): Promise<'done' | 'absent'>;
  /**
   * Shreds a group's rings when all who ever joined it or wrote in it are fenced, and nobody joined
   * since `group` was read. Its entry stays for the steps that follow. `kept`: somebody is left, or
   * nobody ever was a member.
   */
  shredForsakenGroup(app: App, group: ConversationEntry, by: LossId): Promise<'shredded' | 'kept'>;
  /** Removes the rows that tie people to a group that is gone. */
  removeMembers(app: App, group: ConversationEntry): Promise<void>;
  /** Erases the root of an app: nothing under it can be unwrapped any more. */
  removeAppRoot(app: AppId, by: LossId): Promise<void>;
}

/** What a clear takes: a conversation's messages, or a person's profile. */
export type ClearedKind = 'messages' | 'profile';

/** Opens the power to take key material away. */
export function createVaultShred(deps: ShredDeps): KeyringShred & DirectoryShred {
  const { store } = deps;

  return {
    async shred(refs, erasure, evenHeld) {
      const keys: RowKey[] = [];
      for (const ref of refs) {
        const app = await deps.apps.find(ref.app);
        if (app !== undefined) keys.push(ringRow(ref, app.buckets));
      }
      await fenceRows(deps, keys, erasure, evenHeld);
      await enterLoss(deps, keys, erasure);
    },
    async puncture(ref, taken, erasure) {
      const app = await deps.apps.find(ref.app);
      if (app === undefined) return 'absent';
      const key = ringRow(ref, app.buckets);
      const outcome = await punctureRing(deps, { ref, key, taken, loss: erasure });
      await enterLoss(deps, [key], erasure);
      return outcome;
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
    capture: (refs) => captureRings(deps, refs),
    async passHolders() {
      const { number } = await deps.lossFeed.head();
      return deps.lossFeed.pass(number);
    },
    pruneFeed: () => deps.lossFeed.prune(),
    async removeSubject(entry) {
      const [outcome] = await store.commit([{ dirties: true, removals: [entry.row] }]);
      await store.scrub();
      return outcome === 'done';
    },
    async removeReferences(app, rows, target) {
      const at = { app: app.id, buckets: app.buckets };
      for (const { kind, id } of rows) {
        const [row] = await store.read([directoryRow(at, kind, id)]);
        const [leadsTo] = await deps.directory.references(app.id, kind, [id]);
        // Conditional on the version that was read: a row written meanwhile stays.
        if (row === undefined || leadsTo !== target) continue;
        await store.commit([{ dirties: true, removals: [row] }]);
      }
      await store.scrub();
    },
    async mark(app, row, by) {
      const at = { app: app.id, buckets: app.buckets };
      await fenceRows(deps, [directoryRow(at, row.kind, row.id)], by);
    },
    replacePlace: (app, cleared, by) => replacePlace(deps, app, { ...cleared, by }),
    shredForsakenGroup: (app, group, by) => shredForsakenGroup(deps, app, { group, by }),
    removeMembers: (app, group) => removeMembers(deps, app, group),
    async removeAppRoot(app, by) {
      await fenceRoot(deps, app, by);
      await store.scrub();
      await enterLoss(deps, [appRootRow(app)], by);
    },
  };
}

/** An app's root lies under the store's, and is fenced under it. */
async function fenceRoot(deps: ShredDeps, app: AppId, by: LossId): Promise<void> {
  const { store, hierarchy } = deps;
  return retryContended(async () => {
    const [root] = await store.read([appRootRow(app)]);
    if (root === undefined || (await openAnyRow(deps, root)) === 'erased') return;
    const storeRoot = await hierarchy.storeRoot();
    const guard = { key: STORE_ROOT, ownKey: storeRoot.id };
    await store.commit([{ guard, puts: [fenceRow(root, by, storeRoot)] }]);
    hierarchy.forgetBucketKey(app, 0);
    return again;
  });
}

async function punctureRing(
  deps: ShredDeps,
  of: { ref: RingRef; key: RowKey; taken: readonly Taken[]; loss: LossId },
): Promise<'done' | 'erased' | 'absent'> {
  const { store, randomness } = deps;
  const { ref, key, taken, loss } = of;
  return retryContended(async () => {
    const [row] = await store.read([key]);
    if (row === undefined) return 'absent';
    const { wrapping, guard } = await currentBucketKey(deps, row);
    const opened = openRingRow(row, await deps.hierarchy.openerOf(row));
    if (opened === 'erased') return 'erased';
    const change = await takeAll(deps, ref, { material: opened, taken });
    const segments = change.written.map((part) => wrapSegment(ref, part, randomness));
    // Segments first, the row last: the row is the only commit point.
    await store.writeSegments(ref.app, segments);
    const plain = encodeRingMaterial(change.material);
    const put = wrapRow({ key, previous: row, loss }, plain, wrapping);
    plain.fill(0);
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

async function takeAll(
  deps: ShredDeps,
  ref: RingRef,
  from: { material: RingMaterial; taken: readonly Taken[] },
): Promise<MaterialChange> {
  let { material } = from;
  const written = new Map<SegmentId, MaterialChange['written'][number]>();
  const removed: SegmentId[] = [];
  for (const taken of from.taken) {
    const entries = segmentsOf(material, taken);
    const stored = entries.filter((entry) => !written.has(entry.id));
    const context = { entries: stored, randomness: deps.randomness };
    const loaded = await loadSegments(deps.store, ref, context);
    for (const entry of entries) {
      const own = written.get(entry.id);
      if (own !== undefined) loaded.set(entry.id, own.nodes);
    }
    const change = punctureMaterial(material, taken, { loaded, randomness: deps.randomness });
    material = change.material;
    for (const id of change.removed) if (!written.delete(id)) removed.push(id);
    for (const part of change.written) written.set(part.entry.id, part);
  }
  return { material, written: [...written.values()], removed };
}

/** The directory entry that names a place, and the same entry naming another one. */
async function placeHolder(
  deps: ShredDeps,
  app: App,
  cleared: { of: string; kind: ClearedKind },
): Promise<{ row: VaultRow; place: PlaceId; withPlace(place: PlaceId): Buffer } | undefined> {
  if (cleared.kind === 'messages') {
    const id = cleared.of as ConversationId;
    const [entry] = await deps.directory.conversations(app.id, [id]);
    if (entry === undefined || entry === 'erased') return undefined;
    const { row, value } = entry;
    const withPlace = (messagePlace: PlaceId) =>
      conversationCodec.encodeTagged({ ...value, messagePlace });
    return { row, place: value.messagePlace, withPlace };
  }
  const [entry] = await deps.directory.subjects(app.id, [cleared.of as SubjectId]);
  if (entry === undefined) return undefined;
  const { row, value } = entry;
  const withPlace = (profilePlace: PlaceId) =>
    subjectCodec.encodeTagged({ ...value, profilePlace, nameMark: null });
  return { row, place: value.profilePlace, withPlace };
}

async function replacePlace(
  deps: ShredDeps,
  app: App,
  cleared: { of: string; kind: ClearedKind; place: PlaceId; by: LossId },
): Promise<'done' | 'absent'> {
  const { store, randomness } = deps;
  const kind = ringKinds.place;
  return retryContended(async () => {
    const holder = await placeHolder(deps, app, cleared);
    if (holder === undefined) return 'absent';
    if (holder.place !== cleared.place) {
      // Replaced before, perhaps by a run that ended before it was entered.
      await enterLoss(
        deps,
        [ringRow({ app: app.id, kind, id: cleared.place }, app.buckets)],
        cleared.by,
      );
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
