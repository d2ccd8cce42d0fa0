/** The subtrees of a time tree that together are a range of days of one retention class. */
import { DAY_MAX } from '../base/day.ts';
import { timePath } from './tree-path.ts';

/** Largest subtrees first to last; `from` and `to` are days, both included. */
export function coverDayRange(
  retentionClass: number,
  from: number,
  to: number,
): { path: Uint8Array; depth: number }[] {
  const cover: { path: Uint8Array; depth: number }[] = [];
  let day = from;
  while (day <= to) {
    let span = 1;
    let depth = 5;
    while (depth > 1 && day % (span * 16) === 0 && day + span * 16 - 1 <= to) {
      span *= 16;
      depth -= 1;
    }
    cover.push({ path: timePath(retentionClass, day), depth });
    day += span;
    if (day > DAY_MAX) break;
  }
  return cover;
}
