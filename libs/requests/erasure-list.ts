/**
 * The list of what was erased, forgotten and cleared, kept apart from the data: whoever restores an
 * old backup applies what is newer. It holds random ids only.
 *
 * Entries are numbered without gaps, made only if absent, and chained: each carries a code over its
 * number, the code of the one before and its content. The vault knows how far the list goes, so
 * that a list of another store, or an older one, is noticed.
 *
 * Failures of every method: STATE_UNREACHABLE, ERASURES_TAMPERED (an entry was changed, or is
 * missing between others), CONFIGURATION_INVALID (it is not the list of this store), and those of
 * the vault.
 */
import {
  type AppId,
  type HoldId,
  type LossId,
  NO_ID,
  type RequestId,
  type SubjectId,
} from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import { labels } from '../codec/labels.ts';
import { isSameMac, type StoreMac } from '../keyring/store-mac.ts';
import { type KnownPlace, type KnownPlaceRow, LIST_START } from '../vault/keys/list-heads.ts';
import type { Nothing, RequestKind, RequestTargets } from './request.ts';

interface Listed {
  /** The id of the request, or of the hold; of a revocation, one of its own. */
  readonly id: RequestId;
  readonly app: AppId;
  readonly atMs: number;
}

/** A request that began to take something away. */
export type ListedRequest = {
  [Kind in RequestKind]: Listed & {
    readonly kind: Kind;
    /** The id in the fences that it makes. */
    readonly loss: LossId;
    readonly target: RequestTargets[Kind];
  };
}[RequestKind];

/** A hold that was granted. */
export interface ListedHold extends Listed {
  readonly kind: 'hold';
  readonly target: { readonly subject: SubjectId; readonly hold: HoldId };
}

/** What was listed under this id before was refused: nothing of it was done. */
export interface Withdrawal extends Listed {
  readonly kind: 'withdrawn';
  readonly target: Nothing;
}

/** Requests that were listed before have taken what they take: none of them was refused. */
export interface ListedTaken extends Listed {
  readonly kind: 'taken';
  readonly target: { readonly requests: readonly RequestId[] };
}

/** An access key that was revoked: a restore must not bring it back. */
export interface ListedRevocation extends Listed {
  readonly kind: 'revoke-key';
  readonly target: { readonly key: string };
}

/** One entry of the list. */
export type ListedErasure =
  | ListedRequest
  | ListedHold
  | ListedRevocation
  | ListedTaken
  | Withdrawal;

/**
 * The entries that stand at the end: of one that was refused nothing is to be done. A process that
 * was suspended may list it after that; unless it has taken, it stays refused. The id of a hold may
 * be asked for again.
 */
export function standing(listed: readonly ListedErasure[]): ListedErasure[] {
  const taken = takenOf(listed);
  const refused = new Set<RequestId>();
  for (const { id, kind } of listed) if (kind === 'withdrawn' && !taken.has(id)) refused.add(id);
  const newest = new Map(listed.map((one) => [one.id, one]));
  return [...newest.values()].filter(({ id, kind }) => {
    if (kind === 'hold') return true;
    return kind !== 'withdrawn' && kind !== 'taken' && !refused.has(id);
  });
}

/** The requests that have taken what they take. */
export function takenOf(listed: readonly ListedErasure[]): Set<RequestId> {
  return new Set(listed.flatMap((one) => (one.kind === 'taken' ? one.target.requests : [])));
}

/** The access key that was revoked. */
export function revokedOf({ app, target }: ListedRevocation): { id: string; app: AppId | null } {
  return { id: target.key, app: app === NO_ID ? null : app };
}

/** Holds that were released. The id of one is never given to another. */
export function releasedHolds(listed: readonly ListedErasure[]): Set<string> {
  const released = listed.filter(({ kind }) => kind !== 'hold').map(holdOf);
  return new Set(released.filter((hold) => hold !== undefined));
}

/** The hold that an entry names, if it is about one. */
export function holdOf({ target }: ListedErasure): string | undefined {
  return (target as { hold?: string }).hold;
}

/** Where the texts of entries lie, by their numbers. Failures: STATE_UNREACHABLE. */
export interface ErasureEntries {
  /** For messages. */
  readonly name: string;
  /** Makes a place without entries unless there is one: that there is none means it was lost. */
  begin(): Promise<void>;
  isThere(): Promise<boolean>;
  /** The highest number; 0: none. */
  newest(): Promise<number>;
  read(number: number): Promise<string | undefined>;
  /** Writes it, durably; false: there is one. */
  create(number: number, text: string): Promise<boolean>;
  /** Removes one that was never whole. */
  remove(number: number): Promise<void>;
}

/** Requests that ask for what another one has been asked for already, by their ids: that one's. */
export type Joined = ReadonlyMap<RequestId, RequestId>;

/** Do two requests ask for the same? Whom a person was merged with may be known to one alone. */
export function isSameRequest(one: Asking, other: Asking): boolean {
  return askingText(one) === askingText(other);
}

type Asking = Pick<ListedErasure, 'app' | 'kind' | 'target'>;

function askingText({ app, kind, target }: Asking): string {
  const { merged: _, places: __, ...named } = target as Record<string, unknown>;
  return JSON.stringify([app, kind, Object.entries(named).toSorted()]);
}

/** The list; it outlives the store that wrote it. */
export interface ErasureList {
  /**
   * Takes the list as it is now for that of this store. What a former store adds from then on,
   * under codes of its own, is none of it.
   */
  takeOver(): Promise<void>;
  /**
   * Adds entries, durably; also without any, only to a list that is this store's and whole. With
   * `since`, a place from before they were asked for, an entry that asks for the same as one after
   * that place is left out. Gives whom each of those joins.
   */
  add(erasures: readonly ListedErasure[], since?: KnownPlace): Promise<Joined>;
  /** Makes an empty list unless there is one: that there is none means that it was lost. */
  begin(): Promise<void>;
  isThere(): Promise<boolean>;
  /** Throws CONFIGURATION_INVALID: it is not the list of this store, or does not go as far. */
  assertOwn(): Promise<void>;
  head(): Promise<KnownPlace>;
  /** An entry's number with its code; undefined: there is none. */
  at(number: number): Promise<KnownPlace | undefined>;
  /** Entries after a head, in their order; without one, all. One may be listed more than once. */
  read(after?: KnownPlace): Promise<ListedErasure[]>;
}

/** What a list is opened with. */
interface ListKeys {
  readonly mac: StoreMac;
  /** Codes of stores that this one was restored from: it goes on with their list. */
  formers?(): Promise<readonly StoreMac[]>;
  /** What the vault knows of its end. */
  readonly known: KnownPlaceRow;
  /** An earlier place that it knows, for when that row is damaged. */
  readonly spare?: KnownPlaceRow;
}

/** What makes the codes of entries, and looks at them. */
function entryCodes({ mac, formers = async () => [], known, spare }: ListKeys) {
  const macOf = (number: number, previous: string, entry: unknown, by = mac) =>
    by.mac(labels.erasureList, [String(number), previous, JSON.stringify(entry)]);

  let formerMacs: readonly StoreMac[] | undefined;

  let formersKnownTo = 0;

  /** The number up to which an entry may be a former store's; asked for up to this one. */
  async function formersEnd(number: number): Promise<number> {
    if (number > formersKnownTo) {
      const places = await Promise.all([known.read(), spare?.read() ?? LIST_START]);
      formersKnownTo = Math.max(...places.map((place) => place.number));
    }
    return formersKnownTo;
  }

  async function isAuthentic({ number, previous, entry, mac: code }: Entry): Promise<boolean> {
    if (isSameMac(await macOf(number, previous, entry), code)) return true;
    if (number > (await formersEnd(number))) return false;
    formerMacs ??= await formers();
    for (const one of formerMacs) {
      if (isSameMac(await macOf(number, previous, entry, one), code)) return true;
    }
    return false;
  }

  return { macOf, isAuthentic };
}

/** Opens the list over its entries. */
export function createErasureList(entries: ErasureEntries, keys: ListKeys): ErasureList {
  const { macOf, isAuthentic } = entryCodes(keys);
  const { known } = keys;

  /** An entry that authenticates; undefined: it was never whole. */
  async function read(number: number): Promise<Entry | undefined> {
    const text = await entries.read(number);
    const parsed = text === undefined ? undefined : parseEntry(text);
    if (parsed === undefined) return undefined;
    if (parsed.number !== number || !(await isAuthentic(parsed))) {
      throw tampered(entries, `entry ${number} is not of this store, nor of one that it came from`);
    }
    return parsed;
  }

  async function head(): Promise<KnownPlace> {
    const number = await entries.newest();
    if (number === 0) return LIST_START;
    const newest = await read(number);
    if (newest !== undefined) return { number, mac: newest.mac };
    // A crash has cut it off while it was written: it was never acknowledged.
    if (number === 1) return LIST_START;
    const before = await read(number - 1);
    if (before === undefined) throw tampered(entries, `entry ${number - 1} is damaged`);
    return { number: number - 1, mac: before.mac };
  }

  /** The list that is there must be the one that this store has written to. Gives its head. */
  async function assertOwn(): Promise<KnownPlace> {
    // First what is known: another process may add, and raise it, between the two.
    const own = await known.read();
    const now = await head();
    if (own.number === 0) return now;
    const at = own.number <= now.number ? await read(own.number) : undefined;
    if (at !== undefined && isSameMac(at.mac, own.mac)) return now;
    throw new LetheError(
      'CONFIGURATION_INVALID',
      `LETHE_ERASURES: ${entries.name} is not the list of this store, which has ` +
        `${own.number} entries and more: name its folder in full, or put its newest copy there`,
    );
  }

  /** The request that asks for the same, after one place and up to another one. */
  async function findSame(asking: ListedErasure, from: KnownPlace, to: KnownPlace) {
    for (let number = from.number + 1; number <= to.number; number += 1) {
      const other = (await read(number))?.entry;
      if (other !== undefined && isSameRequest(asking, other)) return other.id;
    }
    return undefined;
  }

  async function append(
    entry: ListedErasure,
    after: KnownPlace,
    since: KnownPlace | undefined,
  ): Promise<KnownPlace | RequestId> {
    for (let last = after; ; last = await head()) {
      const same = since && (await findSame(entry, since, last));
      if (same !== undefined) return same;
      const number = last.number + 1;
      const code = await macOf(number, last.mac, entry);
      const text = JSON.stringify({ number, previous: last.mac, entry, mac: code });
      if (await entries.create(number, text)) return { number, mac: code };
      // Another process was first, or one that ended while it wrote.
      if ((await read(number)) === undefined) await entries.remove(number);
    }
  }

  return {
    head,
    takeOver: async () => known.raise(await head()),
    async add(erasures, since) {
      const joined = new Map<RequestId, RequestId>();
      let last = await assertOwn();
      if (erasures.length === 0) return joined;
      for (const erasure of erasures) {
        const appended = await append(erasure, last, since);
        if (typeof appended === 'string') joined.set(erasure.id, appended);
        else last = appended;
      }
      await known.raise(last);
      return joined;
    },
    async begin() {
      // A copy of the vault without the key could not tell the entries that come after it.
      await macOf(0, '', null);
      await entries.begin();
    },
    isThere: () => entries.isThere(),
    assertOwn: async () => void (await assertOwn()),
    at: read,
    async read(after = LIST_START) {
      const { number: newest } = await head();
      const found: ListedErasure[] = [];
      let previous = after.mac;
      for (let number = after.number + 1; number <= newest; number += 1) {
        const entry = await read(number);
        if (entry === undefined) throw tampered(entries, `entry ${number} is missing`);
        if (!isSameMac(entry.previous, previous)) {
          throw tampered(entries, `entry ${number} does not follow the one before`);
        }
        found.push(entry.entry);
        previous = entry.mac;
      }
      return found;
    },
  };
}

interface Entry {
  readonly number: number;
  readonly previous: string;
  readonly entry: ListedErasure;
  readonly mac: string;
}

/** Undefined: it is not the whole of an entry. */
function parseEntry(text: string): Entry | undefined {
  try {
    const entry = JSON.parse(text) as Partial<Entry> | null;
    const { number, previous, mac } = entry ?? {};
    const isWhole = typeof number === 'number' && typeof previous === 'string';
    return isWhole && typeof mac === 'string' ? (entry as Entry) : undefined;
  } catch {
    return undefined;
  }
}

function tampered({ name }: ErasureEntries, what: string): LetheError {
  const text = `LETHE_ERASURES: ${name} was changed from outside: ${what}`;
  return new LetheError('ERASURES_TAMPERED', text);
}

/** The text form of a head: what an operator keeps, and gives to a restore. */
export function headToText({ number, mac }: KnownPlace): string {
  return `${number}-${mac}`;
}

/** Undefined: it is not the text form of a head. */
export function textToHead(text: string): KnownPlace | undefined {
  const [, number, mac] = /^(\d{1,15})-([0-9a-f]{64})$/.exec(text) ?? [];
  if (text === headToText(LIST_START)) return LIST_START;
  return mac === undefined ? undefined : { number: Number(number), mac };
}
