/**
 * A copy of a vault that is written to meanwhile. Each part is in it as it was at one moment, and
 * every ring with its segments. Not all parts are of the same moment: a name may lead to somebody
 * who came or went between two. `settleDirectory` mends that, where the keys are at hand.
 */

import { chunks } from '../../base/chunks.ts';
import { again, retryContended } from '../../base/retry.ts';
import { RING_KINDS } from '../rings/vault-rings.ts';
import { type RowKey, rowKeyToText, rowKinds, type VaultRow } from '../rows/vault-store.ts';
import { type CopiedEnd, copySegments, type VaultPart } from './vault-copy.ts';

const ROWS_PER_LOOK = 500;
const PARTS_AT_ONCE = 8;
const LOOKS_MAX = 64;

/** Rows that were looked at, by their names. */
type Seen = Map<string, { readonly key: RowKey; readonly print: string }>;

/**
 * Copies beside the writers of `from`; nobody else writes to `to`. No turn may be under way. Throws
 * CONTENDED (retryable): it is written to faster than it is copied.
 */
export async function copyLiveVault(from: CopiedEnd, to: CopiedEnd): Promise<void> {
  const appRings = await copyAppRings(from, to);
  const isLeftOut = (row: VaultRow) => appRings.has(rowKeyToText(row));
  let changed: VaultPart[] = [];
  await retryContended(async (round) => {
    const parts = round === 0 ? () => from.copy.parts() : () => listed(changed);
    const copied = await copiedOf(changed, to, isLeftOut);
    for await (const some of chunks(parts(), PARTS_AT_ONCE)) {
      await Promise.all(
        some.map((part) => copyPart(part, to, { isLeftOut, copied: copied.get(part) })),
      );
    }
    await copyNewSegments(from, to);
    const next: VaultPart[] = [];
    for await (const part of parts()) if (await hasNewRings(part, to, isLeftOut)) next.push(part);
    changed = next;
    return changed.length > 0 ? again : undefined;
  });
  await to.copy.loadDirty(await from.copy.dirty());
}

async function* listed<Item>(items: readonly Item[]): AsyncIterable<Item> {
  yield* items;
}

/**
 * An app's rings come first: the parts that a person who is held keeps of them are made before they
 * are taken from the app's. All segments are copied between two looks that agree.
 */
async function copyAppRings(from: CopiedEnd, to: CopiedEnd): Promise<Set<string>> {
  let rings: VaultRow[] = [];
  for await (const row of from.store.scan(rowKinds.appRing)) rings.push(row);
  return retryContended(async (round) => {
    await (round === 0 ? copySegments(from.copy, to.copy) : copyNewSegments(from, to));
    const now = await from.store.read(rings);
    if (rings.every((row, i) => row.version === now[i]?.version)) {
      await to.copy.loadRows(rings);
      return new Set(rings.map(rowKeyToText));
    }
    rings = now.filter((row) => row !== undefined);
    return again;
  });
}

/** What was copied of parts before. */
async function copiedOf(
  parts: readonly VaultPart[],
  to: CopiedEnd,
  isLeftOut: (row: VaultRow) => boolean,
): Promise<Map<VaultPart, Seen>> {
  const copied = new Map(parts.map((part): [VaultPart, Seen] => [part, new Map()]));
  if (parts.length === 0) return copied;
  for await (const row of to.copy.rows()) {
    const part = parts.find((one) => one.holds(row));
    if (part !== undefined && !isLeftOut(row)) remember(copied.get(part)!, row);
  }
  return copied;
}

function remember(seen: Seen, row: VaultRow): string {
  const { app, bucket, kind, id } = row;
  const print = printOf(row);
  seen.set(rowKeyToText(row), { key: { app, bucket, kind, id }, print });
  return print;
}

/** Copies a part as two looks in a row have found it. */
async function copyPart(
  part: VaultPart,
  to: CopiedEnd,
  { isLeftOut, copied }: { isLeftOut: (row: VaultRow) => boolean; copied: Seen | undefined },
): Promise<void> {
  let seen: Seen = copied ?? new Map();
  return retryContended(async (look) => {
    const now: Seen = new Map();
    let isSame = look > 0;
    for await (const rows of chunks(part.rows(), ROWS_PER_LOOK)) {
      const [news, replaced]: [VaultRow[], VaultRow[]] = [[], []];
      for (const row of rows.filter((one) => !isLeftOut(one))) {
        const name = rowKeyToText(row);
        const print = remember(now, row);
        const before = seen.get(name);
        if (before?.print !== print) {
          news.push(row);
          if (before !== undefined) replaced.push(row);
        }
        seen.delete(name);
      }
      if (news.length > 0) isSame = false;
      // A name that was given anew is at its first version again.
      await to.copy.dropRows(replaced);
      await to.copy.loadRows(news);
    }
    if (seen.size > 0) isSame = false;
    await to.copy.dropRows([...seen.values()].map(({ key }) => key));
    if (isSame) return;
    seen = now;
    return again;
  }, LOOKS_MAX);
}

/** Tells two states of a row apart: wrapped bytes end in a tag, which is never the same twice. */
function printOf({ version, wrapped, owed }: VaultRow): string {
  return `${version} ${wrapped.toString('base64', Math.max(0, wrapped.length - 16))} ${owed}`;
}

/** Copies the segments that came since they were copied; one never changes under its name. */
async function copyNewSegments(from: CopiedEnd, to: CopiedEnd): Promise<void> {
  for await (const names of chunks(from.copy.segmentNames(), ROWS_PER_LOOK)) {
    for (const app of new Set(names.map((one) => one.app))) {
      const ids = names.filter((one) => one.app === app).map(({ id }) => id);
      const there = await to.store.readSegments(app, ids);
      const missing = ids.filter((_, i) => there[i] === undefined);
      const found = await from.store.readSegments(app, missing);
      await to.copy.loadSegments(
        missing.flatMap((id, i) => (found[i] === undefined ? [] : { app, id, wrapped: found[i] })),
      );
    }
  }
}

/**
 * A ring that changed twice may name a segment that came after one look at them and went before the
 * next. One that is as it was copied had all of its segments when they were copied after it.
 */
async function hasNewRings(
  part: VaultPart,
  to: CopiedEnd,
  isLeftOut: (row: VaultRow) => boolean,
): Promise<boolean> {
  for await (const rows of chunks(part.rows(), ROWS_PER_LOOK)) {
    const rings = rows.filter((row) => RING_KINDS.includes(row.kind) && !isLeftOut(row));
    const copies = await to.store.versions(rings);
    if (rings.some((row, i) => row.version > (copies[i]?.version ?? row.version))) return true;
  }
  return false;
}
