/**
 * Pages of lists, newest first. A page goes on behind a position, not behind an entry, so that a
 * cursor holds whatever becomes of the entries. What is gone is passed over and takes no room.
 */
import { bytesToHex } from '../../libs/base/hex.ts';
import type { Position } from '../../libs/conversation/view-changes.ts';
import type { ListPage } from '../../libs/views/view-store.ts';

/** Entries are read in parts of this many, where the first part had too many that are gone. */
const ENTRIES_PER_READ = 200;
/** A page that has looked at so many ends there: who asks for the next one goes on. */
const ENTRIES_PER_PAGE_MAX = 2_000;
const POSITION_BYTES = 32;

/** What an answer's page says of itself. */
export interface PageMeta {
  readonly hasMore: boolean;
  readonly afterCursor?: string;
}

/** A list, as the views have its entries, and as consumers see them; undefined: it is gone. */
export interface List<View, Shown> {
  readonly read: (page: ListPage) => Promise<readonly View[]>;
  readonly placeOf: (view: View) => Position;
  readonly show: (views: readonly View[]) => Promise<readonly (Shown | undefined)[]>;
}

/** A page of a list: so many at most, behind a position. */
export async function readPage<View, Shown>(
  { read, placeOf, show }: List<View, Shown>,
  { before, limit }: ListPage,
): Promise<{ readonly items: Shown[]; readonly meta: PageMeta }> {
  const found: { readonly item: Shown; readonly place: Position }[] = [];
  const page = (hasMore: boolean, after: Position | undefined) => ({
    items: found.slice(0, limit).map(({ item }) => item),
    meta: { hasMore, ...(after !== undefined && { afterCursor: positionToCursor(after) }) },
  });
  let from = before;
  let wanted = limit + 1;
  for (let seen = 0; seen < ENTRIES_PER_PAGE_MAX; ) {
    const views = await read({ limit: wanted, ...(from !== undefined && { before: from }) });
    const items = await show(views);
    for (const [i, item] of items.entries()) {
      if (item !== undefined) found.push({ item, place: placeOf(views[i]!) });
    }
    if (found.length > limit) return page(true, found[limit - 1]!.place);
    if (views.length < wanted) return page(false, found.at(-1)?.place);
    from = placeOf(views.at(-1)!);
    seen += views.length;
    wanted = ENTRIES_PER_READ;
  }
  return page(true, from as Position);
}

/** A whole list, read page after page. */
export async function* readList<View, Shown>(list: List<View, Shown>): AsyncGenerator<Shown> {
  for (let before: string | undefined; ; ) {
    const at = { limit: ENTRIES_PER_READ, ...(before !== undefined && { before }) };
    const { items, meta } = await readPage(list, at);
    yield* items;
    if (!meta.hasMore) return;
    before = cursorToPosition(meta.afterCursor!);
  }
}

/** A position as callers carry it: base64url. It says no more than the entries of the list do. */
export function positionToCursor(position: Position): string {
  return Buffer.from(position, 'hex').toString('base64url');
}

/** Undefined: it is not the cursor of a list. */
export function cursorToPosition(cursor: string): Position | undefined {
  const bytes = Buffer.from(cursor, 'base64url');
  const isCursor = bytes.length === POSITION_BYTES && bytes.toString('base64url') === cursor;
  return isCursor ? (bytesToHex(bytes) as Position) : undefined;
}
