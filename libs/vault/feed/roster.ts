/**
 * The roster: who holds keys of this store. It is one text under one code, so that nobody without
 * the key can take a holder off it. Who is not on it, or is struck off, can renew no lease.
 */

/** The longest lease that a process may have: nobody uses keys longer after being taken off. */
export const LEASE_MS_MAX = 60_000;

/** A process that holds keys. */
export interface RosterHolder {
  /** How long it may use keys after a sync began. */
  readonly leaseMs: number;
  /** Wall time at which it was struck off: it can sync no more. */
  readonly struckAtMs: number | null;
}

/** Who holds keys. */
export interface Roster {
  /** Raised with every change: a lower one is an old copy. */
  readonly version: number;
  /**
   * A random mark: an earlier roster was lost, so that there may be holders whom nobody knows,
   * until the longest lease is over. Null: all are known.
   */
  readonly lostBefore: string | null;
  readonly holders: ReadonlyMap<string, RosterHolder>;
}

/** The roster as it is kept. */
export function encodeRoster({ version, lostBefore, holders }: Roster): string {
  return JSON.stringify({ version, lostBefore, holders: Object.fromEntries(holders) });
}

/** What `encodeRoster` has made; nothing else may come here. */
export function decodeRoster(text: string): Roster {
  const { holders, ...rest } = JSON.parse(text) as Roster & { holders: object };
  return { ...rest, holders: new Map(Object.entries(holders)) };
}

/** The roster with this holder on it, as it is said to be. */
export function withHolder(roster: Roster, id: string, holder: RosterHolder): Roster {
  return { ...roster, holders: new Map(roster.holders).set(id, holder) };
}

/** The roster without this holder. */
export function withoutHolder(roster: Roster, id: string): Roster {
  return { ...roster, holders: new Map([...roster.holders].filter(([one]) => one !== id)) };
}

/** The roster with this holder struck off, unless it was before or is not on it. */
export function withStruck(roster: Roster, id: string, atMs: number): Roster {
  const holder = roster.holders.get(id);
  if (holder === undefined || holder.struckAtMs !== null) return roster;
  return withHolder(roster, id, { ...holder, struckAtMs: atMs });
}
