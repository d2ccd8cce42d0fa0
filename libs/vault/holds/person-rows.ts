/** Rows of people's rings: what they say in clear (holds, edges), and how that is changed. */

import type { AppId, SubjectId } from '../../base/ids.ts';
import { again, retryContended } from '../../base/retry.ts';
import { ringKinds } from '../../sealing/tree-path.ts';
import type { App } from '../keys/app-registry.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import { ringRow } from '../rings/vault-rings.ts';
import type { RowKey, VaultRow } from '../rows/vault-store.ts';
import { wrapRow } from '../rows/wrapped-row.ts';
import {
  commitUnderKeys,
  currentBucketKey,
  isErasedRow,
  openAnyRow,
} from '../taking/shred-rows.ts';

/** The row of a person's ring. */
export function personRow(app: App, id: string): RowKey {
  return ringRow({ app: app.id, kind: ringKinds.owner, id }, app.buckets);
}

/** The app that an id names. */
export async function appOf({ apps }: Pick<VaultContext, 'apps'>, id: AppId): Promise<App> {
  return (await apps.find(id))!;
}

/** The row of a ring that lives, authenticated; or what it is instead. */
export async function readLiving(
  deps: VaultContext,
  key: RowKey,
): Promise<VaultRow | 'erased' | 'absent'> {
  const [row] = await deps.store.read([key]);
  if (row === undefined) return 'absent';
  return (await isErasedRow(deps, row)) ? 'erased' : row;
}

type Wrapping = Awaited<ReturnType<typeof currentBucketKey>>['wrapping'];

/** A change of what a row says in clear; undefined: it says so already. */
export interface RowEdit {
  clear(row: VaultRow): Partial<Pick<VaultRow, 'holds' | 'edges'>> | undefined;
  /** Rows of the same bucket that are written in the same commit. */
  puts?(wrapping: Wrapping): VaultRow[];
}

/** Changes a living row by compare-and-set; its keys stay. */
export async function editRow(
  deps: VaultContext,
  key: RowKey,
  edit: RowEdit,
): Promise<'done' | 'erased' | 'absent'> {
  return retryContended(async () => {
    const row = await readLiving(deps, key);
    if (typeof row === 'string') return row;
    const clear = edit.clear(row);
    if (clear === undefined) return 'done';
    const { wrapping, guard } = await currentBucketKey(deps, row);
    const plain = (await openAnyRow(deps, row)) as Buffer;
    const put = wrapRow({ key, previous: { ...row, ...clear } }, plain, wrapping);
    plain.fill(0);
    const puts = [put, ...(edit.puts?.(wrapping) ?? [])];
    if ((await commitUnderKeys(deps, [{ guard, puts }]))[0] === 'done') return 'done';
    return again;
  });
}

/** Everybody a person was merged with, themselves first. A fence keeps its edges. */
export async function mergedWith(
  deps: VaultContext,
  app: App,
  subject: SubjectId,
): Promise<SubjectId[]> {
  const found = [subject];
  for (const id of found) {
    const [row] = await deps.store.read([personRow(app, id)]);
    if (row === undefined) continue;
    await isErasedRow(deps, row);
    for (const other of row.edges) {
      if (!found.includes(other as SubjectId)) found.push(other as SubjectId);
    }
  }
  return found;
}

/** Sorted, and once each: so they are part of what a row's wrap is bound to. */
export function withId(ids: readonly string[], id: string): readonly string[] {
  return ids.includes(id) ? ids : [...ids, id].sort();
}
