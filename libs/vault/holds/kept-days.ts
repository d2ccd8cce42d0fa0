/**
 * What a held person's ring keeps of days that the app is about to lose: the app parts of their
 * own, never a day's seed, so that a hold opens nobody else. Gone with the last hold.
 */

import type { HoldId, LossId, SegmentId, SubjectId } from '../../base/ids.ts';
import { randomId } from '../../base/random.ts';
import { again, retryContended } from '../../base/retry.ts';
import { secretBytes, secretConcat } from '../../base/secret-bytes.ts';
import { APP_PART_BYTES } from '../../keyring/kept-parts.ts';
import { Ring, type RingRef } from '../../keyring/ring.ts';
import {
  encodeRingMaterial,
  type KeptPartsEntry,
  type RingMaterial,
  wipeMaterial,
} from '../../keyring/ring-material.ts';
import { RETENTION_CLASS_MAX, retentionClasses, ringKinds } from '../../sealing/tree-path.ts';
import type { DirectoryContext } from '../directory/directory-table.ts';
import type { App } from '../keys/app-registry.ts';
import { openRingRow, wrapSegment } from '../rings/vault-rings.ts';
import type { RowKey, VaultBatch, VaultRow } from '../rows/vault-store.ts';
import { wrapRow } from '../rows/wrapped-row.ts';
import { commitUnderKeys, currentBucketKey, enterLoss } from '../taking/shred-rows.ts';

/** 64 KB of parts. */
const PARTS_MAX = 2_048;

/** App parts of one class and of consecutive days. */
interface Run {
  readonly retentionClass: number;
  readonly fromDay: number;
  toDay: number;
  readonly parts: Buffer[];
}

/** See KeyringHold. */
export async function keepDays(
  deps: DirectoryContext,
  app: App,
  held: { subject: SubjectId; key: RowKey; days: { fromDay: number; toDay: number } },
): Promise<void> {
  const runs = await collectRuns(deps, app, held);
  if (runs.length === 0) return;
  const ref: RingRef = { app: app.id, kind: ringKinds.owner, id: held.subject };
  const isChanged = await changeMaterial(deps, held.key, async (material, row) => {
    // The hold has ended meanwhile: then there is nothing to keep for.
    if (row.holds.length === 0) return undefined;
    const written = runs.map(({ parts, ...run }) => {
      const key = deps.randomness.fill(secretBytes(32));
      const entry: KeptPartsEntry = { ...run, id: randomId<SegmentId>(deps.randomness), key };
      return { entry, nodes: secretConcat(parts) };
    });
    const wrapped = written.map((part) => wrapSegment(ref, part, deps.randomness));
    for (const { nodes } of written) nodes.fill(0);
    // Parts first, the row last: the row is the only commit point.
    await deps.store.writeSegments(app.id, wrapped);
    const kept = [...material.kept, ...written.map((part) => part.entry)];
    return { material: { ...material, kept }, orphans: wrapped.map((part) => part.id) };
  });
  for (const { parts } of runs) for (const part of parts) part.fill(0);
  if (isChanged) await enterLoss(deps, [held.key], held.subject as string as LossId);
}

/** Takes a hold off a row, and with the last one what was kept for it. */
export async function dropHold(deps: DirectoryContext, key: RowKey, hold: HoldId): Promise<void> {
  let removed: SegmentId[] = [];
  await changeMaterial(deps, key, async (material, row) => {
    const holds = row.holds.filter((one) => one !== hold);
    const isLast = holds.length === 0 && material.kept.length > 0;
    if (holds.length === row.holds.length && !isLast) return undefined;
    removed = isLast ? material.kept.map((entry) => entry.id) : [];
    const kept = isLast ? [] : material.kept;
    return { material: { ...material, kept }, holds, more: isLast ? { dirties: true } : {} };
  });
  // Also when this only repeats what a crash cut short: others may hold the ring as it was.
  await enterLoss(deps, [key], key.id as LossId);
  await deps.store.removeSegments(key.app, removed);
  await deps.store.scrub();
}

interface MaterialEdit {
  readonly material: RingMaterial;
  readonly holds?: readonly string[];
  readonly more?: Partial<VaultBatch>;
  /** Parts that were written for this attempt, and are nobody's when it fails. */
  readonly orphans?: readonly SegmentId[];
}

/**
 * Writes another material into a living ring's row. True: it did; whoever calls enters it into the
 * feed, so that every holder reads it anew.
 */
async function changeMaterial(
  deps: DirectoryContext,
  key: RowKey,
  edit: (material: RingMaterial, row: VaultRow) => Promise<MaterialEdit | undefined>,
): Promise<boolean> {
  const { store, hierarchy } = deps;
  return retryContended(async () => {
    const [row] = await store.read([key]);
    const opened = row && openRingRow(row, await hierarchy.openerOf(row));
    if (row === undefined || opened === undefined || opened === 'erased') return false;
    const { wrapping, guard } = await currentBucketKey(deps, row);
    const edited = await edit(opened, row);
    if (edited === undefined) {
      wipeMaterial(opened);
      return false;
    }
    const plain = encodeRingMaterial(edited.material);
    const previous = { ...row, holds: edited.holds ?? row.holds };
    const put = wrapRow({ key, previous }, plain, wrapping);
    plain.fill(0);
    wipeMaterial(edited.material);
    wipeMaterial(opened);
    const [outcome] = await commitUnderKeys(deps, [{ guard, puts: [put], ...edited.more }]);
    if (outcome === 'done') return true;
    await store.removeSegments(key.app, edited.orphans ?? []);
    return again;
  });
}

/** What the app's ring still has of these days, of every class that ages. */
async function collectRuns(
  { keyring }: DirectoryContext,
  app: App,
  held: { subject: SubjectId; days: { fromDay: number; toDay: number } },
): Promise<Run[]> {
  const { subject: owner, days } = held;
  const ownerBytes = Buffer.from(owner, 'hex');
  const ref = { app: app.id, kind: ringKinds.app, id: app.id };
  return keyring.use([ref], async ([ring]) => {
    const runs: Run[] = [];
    if (!(ring instanceof Ring)) return runs;
    for (let kind: number = retentionClasses.messages; kind <= RETENTION_CLASS_MAX; kind += 1) {
      let run: Run | undefined;
      for (let day = days.fromDay; day <= days.toDay; day += 1) {
        const part = secretBytes(APP_PART_BYTES);
        const isThere = ring.writeAppPart({ retentionClass: kind, day, owner, ownerBytes }, part);
        const goesOn = run !== undefined && run.parts.length < PARTS_MAX;
        if (!isThere) run = undefined;
        else if (goesOn) {
          run!.parts.push(part);
          run!.toDay = day;
        } else {
          run = { retentionClass: kind, fromDay: day, toDay: day, parts: [part] };
          runs.push(run);
        }
      }
    }
    return runs;
  });
}
