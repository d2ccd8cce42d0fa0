/**
 * The feed as holders of keys read it: what does not carry their code is not there. Who can write
 * the feed's tables, but has no key, can cost time, and have everybody load keys anew. No holder
 * misses what was taken, and none is passed over, except where old rows are written back in step
 * with every reader.
 *
 * Entries are a chain: the code of each goes over the code of the one before. A holder follows the
 * chain from where it began; privacy looks for its own entry in it before it tells T0.
 */
import type { LossId } from '../../base/ids.ts';
import { type Randomness, randomId } from '../../base/random.ts';
import { again, contended, retryContended } from '../../base/retry.ts';
import { labels } from '../../codec/labels.ts';
import { isSameMac } from '../../keyring/store-mac.ts';
import { encodeFeedRows } from './feed-rows.ts';
import type {
  FeedEntry,
  FeedHead,
  FeedStore,
  HolderRow,
  HolderRowWithDoor,
  RosterRow,
} from './feed-store.ts';
import { decodeRoster, encodeRoster, type Roster, withHolder, withoutHolder } from './roster.ts';

/** Codes under a key that opens nothing, so that no lease is needed to use it. */
export interface FeedMac {
  /** HMAC-SHA-256 of label ‖ lp(field) of each field, as 64 hex digits. */
  code(label: Uint8Array, fields: readonly (string | Uint8Array)[]): Promise<string>;
  /** Reads the key again; false: it is the same. */
  reload(): Promise<boolean>;
}

/** A place in the chain: an entry's number and code. */
export interface Link {
  readonly number: number;
  readonly code: string;
}

/** The feed, its codes made and checked. Failures: those of FeedStore and of the key's store. */
export interface SignedFeed {
  head(): Promise<FeedHead>;
  /** Is an entry there, as it was added? */
  isThere(link: Link): Promise<boolean>;
  /** Adds an entry. */
  append(rows: FeedEntry['rows'], erasure: LossId): Promise<Link>;
  /** Entries that follow a link, each on the one before: up to the first that does not. */
  following(incarnation: string, after: Link, limit: number): Promise<FeedEntry[]>;
  prune(before: number): Promise<void>;
  /** Enters a holder into the roster, and its row. */
  register(incarnation: string, id: string, leaseMs: number, at: Link): Promise<void>;
  /** Tells how far a holder has come. */
  acknowledge(incarnation: string, id: string, at: Link): Promise<void>;
  announce(id: string, door: string): Promise<void>;
  /** Ends a holder: it has no keys any more. */
  leave(incarnation: string, id: string): Promise<void>;
  /** Rows of holders that carry their code, with all doors as they are there. */
  holders(incarnation: string): Promise<HolderRowWithDoor[]>;
  /** Undefined: there is none, or none that carries a code, or an older one than was seen. */
  roster(incarnation: string): Promise<Roster | undefined>;
  /** Changes it; where it was lost, one that says so is changed. */
  changeRoster(incarnation: string, change: (roster: Roster) => Roster): Promise<Roster>;
  /** The first roster of a store whose keys nobody has used yet. */
  begin(): Promise<void>;
  /** Another incarnation, without entries or holders. */
  renew(): Promise<void>;
}

interface Deps {
  readonly store: FeedStore;
  readonly mac: FeedMac;
  readonly randomness: Randomness;
}

/** Opens it over the feed's rows. */
export function createSignedFeed(deps: Deps): SignedFeed {
  const { store } = deps;
  const roster = createRoster(deps);
  return {
    head: () => store.head(),
    prune: (before) => store.prune(before),
    announce: (id, door) => store.announce(id, door),
    ...createChain(deps),
    ...createHolders(deps, roster),
    ...roster,
    async renew() {
      await store.renew();
      await roster.begin();
    },
  };
}

// Others append between, and each time somebody has.
const APPEND_ATTEMPTS_MAX = 100;

type Chain = Pick<SignedFeed, 'isThere' | 'append' | 'following'>;

function createChain({ store, mac }: Deps): Chain {
  return {
    async isThere({ number, code }) {
      const [entry] = await store.entries(number - 1, 1);
      return number === 0 || (entry?.number === number && entry.code === code);
    },
    async append(rows, erasure) {
      for (let attempt = 0; attempt < APPEND_ATTEMPTS_MAX; attempt += 1) {
        const { incarnation, ...last } = await store.head();
        const entry = { number: last.number + 1, erasure, rows };
        const code = await mac.code(...entryFields(incarnation, last.code, entry));
        if (await store.append({ ...entry, code })) return { number: entry.number, code };
      }
      throw contended();
    },
    async following(incarnation, after, limit) {
      const found: FeedEntry[] = [];
      let { number, code } = after;
      for (const entry of await store.entries(after.number, limit)) {
        if (entry.number !== number + 1) break;
        if (!(await isAuthentic(mac, entry.code, entryFields(incarnation, code, entry)))) break;
        ({ number, code } = entry);
        found.push(entry);
      }
      return found;
    },
  };
}

type Holders = Pick<SignedFeed, 'register' | 'acknowledge' | 'leave' | 'holders'>;

function createHolders({ store, mac }: Deps, { changeRoster }: RosterOfFeed): Holders {
  async function holderRow(incarnation: string, id: string, at: Link): Promise<HolderRow> {
    const row = { id, acknowledged: at.number, entryCode: at.code };
    return { ...row, code: await mac.code(...holderFields(incarnation, row)) };
  }
  return {
    // On the roster first: a row whose holder is not on it tells that an old roster was put back.
    async register(incarnation, id, leaseMs, at) {
      const holder = { leaseMs, struckAtMs: null };
      await changeRoster(incarnation, (roster) => withHolder(roster, id, holder));
      await store.addHolder(await holderRow(incarnation, id, at));
    },
    async acknowledge(incarnation, id, at) {
      await store.acknowledge(await holderRow(incarnation, id, at));
    },
    async leave(incarnation, id) {
      await store.removeHolder(id);
      await changeRoster(incarnation, (roster) =>
        roster.holders.has(id) ? withoutHolder(roster, id) : roster,
      );
    },
    async holders(incarnation) {
      const authentic: HolderRowWithDoor[] = [];
      for (const row of await store.holders()) {
        if (await isAuthentic(mac, row.code, holderFields(incarnation, row))) authentic.push(row);
      }
      return authentic;
    },
  };
}

type RosterOfFeed = Pick<SignedFeed, 'roster' | 'changeRoster' | 'begin'>;

function createRoster({ store, mac, randomness }: Deps): RosterOfFeed {
  /** The newest one that this process has seen: an older one was written back. */
  let newest = { incarnation: '', version: 0 };

  function see(incarnation: string, version: number): void {
    if (newest.incarnation !== incarnation || newest.version < version) {
      newest = { incarnation, version };
    }
  }

  async function read(incarnation: string) {
    // What was seen before the read began: others may write, and see, a newer one meanwhile.
    const before = newest;
    const row = await store.roster();
    return { row, roster: await check(incarnation, row, before) };
  }

  async function check(incarnation: string, row: RosterRow | undefined, before: typeof newest) {
    if (row === undefined || row.text === null || row.code === null) return undefined;
    if (!(await isAuthentic(mac, row.code, rosterFields(incarnation, row.text)))) return undefined;
    const roster = decodeRoster(row.text);
    if (before.incarnation === incarnation && roster.version < before.version) return undefined;
    see(incarnation, roster.version);
    return roster;
  }

  function lost(incarnation: string): Roster {
    const version = newest.incarnation === incarnation ? newest.version : 0;
    return { version, lostBefore: randomId(randomness), holders: new Map() };
  }

  async function signed(incarnation: string, roster: Roster) {
    const text = encodeRoster(roster);
    return { text, code: await mac.code(...rosterFields(incarnation, text)) };
  }

  return {
    roster: async (incarnation) => (await read(incarnation)).roster,
    changeRoster: (incarnation, change) =>
      retryContended(async () => {
        const { row, roster } = await read(incarnation);
        const current = roster ?? lost(incarnation);
        const changed = change(current);
        if (roster !== undefined && changed === roster) return roster;
        const next = { ...changed, version: current.version + 1 };
        if (!(await store.replaceRoster(row, await signed(incarnation, next)))) return again;
        see(incarnation, next.version);
        return next;
      }),
    async begin() {
      const { incarnation } = await store.head();
      const first = { version: 1, lostBefore: null, holders: new Map() };
      await store.replaceRoster(undefined, await signed(incarnation, first));
    },
  };
}

/** Is it the code of these? The key may have been made anew by another process. */
async function isAuthentic(mac: FeedMac, code: string, of: Signed): Promise<boolean> {
  if (isSameMac(code, await mac.code(...of))) return true;
  return (await mac.reload()) && isSameMac(code, await mac.code(...of));
}

type Signed = readonly [label: Uint8Array, fields: readonly (string | Uint8Array)[]];

function entryFields(
  incarnation: string,
  previousCode: string,
  { number, erasure, rows }: Omit<FeedEntry, 'code'>,
): Signed {
  const what = encodeFeedRows(rows);
  return [labels.feedEntry, [incarnation, String(number), previousCode, erasure, what]];
}

function holderFields(
  incarnation: string,
  { id, acknowledged, entryCode }: Omit<HolderRow, 'code'>,
): Signed {
  return [labels.feedHolder, [incarnation, id, String(acknowledged), entryCode]];
}

function rosterFields(incarnation: string, text: string): Signed {
  return [labels.feedRoster, [incarnation, text]];
}
