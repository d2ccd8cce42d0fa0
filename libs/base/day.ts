/** Days in UTC, counted from 1970-01-01; formats hold 16 bits of them. */

/** Milliseconds of a day; UTC has no leap seconds here. */
export const DAY_MS = 86_400_000;
/** 2149-06-06. */
export const DAY_MAX = 65_535;

/** The UTC day of a time (0 = 1970-01-01). Throws RangeError outside 1970..2149. */
export function msToDay(ms: number): number {
  const day = Math.floor(ms / DAY_MS);
  if (!(day >= 0 && day <= DAY_MAX)) throw new RangeError('day outside 1970-01-01..2149-06-06');
  return day;
}

/** The date of a day, as in 2004-01-31. */
export function dayToText(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** The day of a date as in 2004-01-31. Throws RangeError: it is none, or outside 1970..2149. */
export function textToDay(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  const day = msToDay(ms);
  if (dayToText(day) !== text) throw new RangeError('there is no such day');
  return day;
}
