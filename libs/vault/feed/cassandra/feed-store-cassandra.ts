/**
 * The feed in the vault's keyspace. Every write is conditional and, once it was answered, committed
 * on a quorum. Whoever reads at QUORUM afterwards sees it. That is all that T0 asks: a sync that
 * began before the answer does not count for longer than its lease.
 *
 * Reads at SERIAL would get in each other's way on the one partition that all holders look at. Only
 * two reads are at SERIAL, which settles what is under way: entries, when there is a new one, and
 * what is read back after an unknown outcome. So a head is never seen without its entry.
 */
import { randomBytes } from 'node:crypto';
import type { LossId } from '../../../base/ids.ts';
import { LetheError } from '../../../base/lethe-error.ts';
import { type CassandraDatabase, hasCells } from '../../../engines/cassandra-database.ts';
import { decodeFeedRows, encodeFeedRows } from '../feed-rows.ts';
import type {
  FeedEntry,
  FeedHead,
  FeedStore,
  HolderRowWithDoor,
  RosterRow,
} from '../feed-store.ts';

const HEAD = 'SELECT incarnation, head, head_code FROM feed_entries WHERE one = 0 LIMIT 1';
const BORN = `UPDATE feed_entries SET incarnation = ?, head = 0 WHERE one = 0
  IF incarnation = null`;
const RAISE = 'UPDATE feed_entries SET head = ?, head_code = ? WHERE one = 0 IF head = ?';
const MEND = 'UPDATE feed_entries SET head = ?, head_code = ? WHERE one = 0 IF head = null';
const ADD = `INSERT INTO feed_entries (one, number, erasure, rows, code)
  VALUES (0, ?, ?, ?, ?)`;
const ENTRIES = `SELECT number, erasure, rows, code FROM feed_entries
  WHERE one = 0 AND number > ? LIMIT ?`;
const NUMBERS = 'SELECT number FROM feed_entries WHERE one = 0 AND number > 0';
const DROP = 'DELETE FROM feed_entries WHERE one = 0 AND number = ? IF EXISTS';
const HOLDERS = `SELECT id, acknowledged, entry_code, code, door FROM feed_acknowledgements
  WHERE one = 0`;
const ADD_HOLDER = `INSERT INTO feed_acknowledgements (one, id, acknowledged, entry_code, code)
  VALUES (0, ?, ?, ?, ?) IF NOT EXISTS`;
const ANNOUNCE = `UPDATE feed_acknowledgements SET door = ? WHERE one = 0 AND id = ?
  IF EXISTS`;
const ACKNOWLEDGE = `UPDATE feed_acknowledgements SET acknowledged = ?, entry_code = ?, code = ?
  WHERE one = 0 AND id = ? IF acknowledged >= 0`;
const REMOVE = 'DELETE FROM feed_acknowledgements WHERE one = 0 AND id = ? IF EXISTS';
const ROSTER = 'SELECT body, code FROM feed_roster WHERE one = 0';
const ADD_ROSTER = 'INSERT INTO feed_roster (one, body, code) VALUES (0, ?, ?) IF NOT EXISTS';
const REPLACE_ROSTER = `UPDATE feed_roster SET body = ?, code = ? WHERE one = 0
  IF body = ? AND code = ?`;
const DROP_ROSTER = 'DELETE FROM feed_roster WHERE one = 0 IF EXISTS';

const HEAD_ATTEMPTS_MAX = 5;
// What one page of the driver holds; a feed that is pruned has far fewer.
const ENTRIES_MAX = 5_000;
const ENTRY_CELLS = ['erasure', 'rows', 'code'] as const;

interface StoredHead {
  incarnation: string | null;
  head: number | null;
  head_code: string | null;
}

interface StoredEntry {
  number: number;
  erasure: Buffer;
  rows: Buffer;
  code: string | null;
}

interface StoredHolder {
  id: string;
  acknowledged: number;
  entry_code: string | null;
  code: string | null;
  door: string | null;
}

interface StoredRoster {
  body: string | null;
  code: string | null;
}

/** Opens the feed's tables; `lethe migrate` made them. */
export function openFeedStoreCassandra(database: CassandraDatabase): FeedStore {
  const apply = (query: string, ...params: unknown[]) =>
    // Each of these can be repeated: what matters is what is read afterwards.
    database.applySettled([{ query, params }]);

  async function head(): Promise<FeedHead> {
    // What is written may be hidden by a time of writing that lies ahead.
    for (let attempt = 0; attempt < HEAD_ATTEMPTS_MAX; attempt += 1) {
      const found = await database.get<StoredHead>(HEAD);
      if (found?.incarnation == null) await apply(BORN, newIncarnation());
      else if (found.head === null) await mendHead();
      else {
        const { incarnation, head: number, head_code: code } = found;
        return { incarnation, number: Number(number), code: code ?? '' };
      }
    }
    const text = 'the head of the feed (feed_entries) is gone, and cannot be written anew';
    throw new LetheError('VAULT_TAMPERED', text);
  }

  /** The cell was removed by itself: entries say where it was, and their codes whether it is so. */
  async function mendHead(): Promise<void> {
    const newest = (await entries(0, ENTRIES_MAX)).at(-1);
    await apply(MEND, newest?.number ?? 0, newest?.code ?? null);
  }

  async function entries(after: number, limit: number): Promise<FeedEntry[]> {
    const found = await database.allSerial<StoredEntry>(ENTRIES, after, limit);
    return found.filter((one) => hasCells(one, ENTRY_CELLS)).map(toEntry);
  }

  async function entryOf(number: number): Promise<StoredEntry | undefined> {
    const found = await database.allSerial<StoredEntry>(ENTRIES, number - 1, 1);
    return found.find((one) => Number(one.number) === number);
  }

  async function holders(): Promise<HolderRowWithDoor[]> {
    return (await database.all<StoredHolder>(HOLDERS)).map(toHolder);
  }

  async function roster(): Promise<RosterRow | undefined> {
    const found = await database.get<StoredRoster>(ROSTER);
    return found && { text: found.body, code: found.code };
  }

  return {
    head,
    async append({ number, erasure, rows, code }) {
      await head();
      const bytes = encodeFeedRows(rows);
      const own = Buffer.from(erasure, 'hex');
      const statements = [
        { query: RAISE, params: [number, code, number - 1] },
        { query: ADD, params: [number, own, bytes, code] },
      ];
      return database.applySettled(statements, async () => {
        const there = await entryOf(number);
        return there?.code === code;
      });
    },
    entries,
    async prune(before) {
      const { number: newest } = await head();
      for (const { number } of await database.allSerial<StoredEntry>(NUMBERS)) {
        if (Number(number) < before && Number(number) < newest) await apply(DROP, number);
      }
    },
    async addHolder({ id, acknowledged, entryCode, code }) {
      await apply(ADD_HOLDER, id, acknowledged, entryCode, code);
    },
    async acknowledge({ id, acknowledged, entryCode, code }) {
      await apply(ACKNOWLEDGE, acknowledged, entryCode, code, id);
    },
    async announce(id, door) {
      await apply(ANNOUNCE, door, id);
    },
    holders,
    async removeHolder(id) {
      await apply(REMOVE, id);
    },
    roster,
    async replaceRoster(read, { text, code }) {
      const statement =
        read === undefined
          ? { query: ADD_ROSTER, params: [text, code] }
          : { query: REPLACE_ROSTER, params: [text, code, read.text, read.code] };
      return database.applySettled([statement], async () => {
        return (await database.getSerial<StoredRoster>(ROSTER))?.code === code;
      });
    },
    async renew(next = newIncarnation()) {
      for (const { number } of await database.allSerial<StoredEntry>(NUMBERS)) {
        await apply(DROP, number);
      }
      for (const { id } of await holders()) await apply(REMOVE, id);
      await apply(DROP_ROSTER);
      const { incarnation } = await head();
      const query = `UPDATE feed_entries SET incarnation = ?, head = 0, head_code = null
        WHERE one = 0 IF incarnation = ?`;
      await apply(query, next, incarnation);
    },
  };
}

function newIncarnation(): string {
  return randomBytes(16).toString('hex');
}

function toEntry({ number, erasure, rows, code }: StoredEntry): FeedEntry {
  const by = erasure.toString('hex') as LossId;
  return { number: Number(number), erasure: by, rows: decodeFeedRows(rows), code: code ?? '' };
}

function toHolder(row: StoredHolder): HolderRowWithDoor {
  const { id, entry_code: entryCode, code, door } = row;
  const how = { entryCode: entryCode ?? '', code: code ?? '' };
  return { id, acknowledged: Number(row.acknowledged), ...how, door };
}
