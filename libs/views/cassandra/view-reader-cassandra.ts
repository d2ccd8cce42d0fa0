/** The readers' queries in Cassandra; each names the generation that serves at that moment. */

import { bytesToHex, hexToBytes } from '../../base/hex.ts';
import {
  type AppId,
  bytesToId,
  type ConversationId,
  type MessageId,
  type SubjectId,
} from '../../base/ids.ts';
import type { Position } from '../../conversation/view-changes.ts';
import { type CassandraDatabase, hasCells } from '../../engines/cassandra-database.ts';
import { thingPath } from '../../sealing/tree-path.ts';
import { POSITION_BYTES, readCopy, readFact, readNewest, readOldest } from '../view-cells.ts';
import {
  type ChangeView,
  type ConversationView,
  type FactView,
  type ListPage,
  type MessageView,
  type NewestChanges,
  type PageRequest,
  type ParticipantView,
  type PersonView,
  untilBytes,
  type ViewReader,
} from '../view-store.ts';
import { listMinute, listPlacesOf, readInboxPlace } from './view-lists-cassandra.ts';
import { GONE, weekOf } from './view-writer-cassandra.ts';

const WEEK_MAX = 1_000_000;
const CHANGES_PER_QUERY = 100;
const MESSAGES_PER_PART = 51;

interface Placed {
  readonly position: Buffer;
  readonly message: Buffer;
}

/** Opens the queries. */
export function createViewReaderCassandra(
  database: CassandraDatabase,
  generation: () => Promise<number>,
): ViewReader {
  const reader = { database, generation };
  return {
    generation,
    conversation: (id) => readConversation(reader, id),
    async version(conversation) {
      const g = await generation();
      const query = `SELECT version FROM conversations_${g} WHERE id = ?`;
      const row = await database.get<{ version: unknown }>(query, hexToBytes(conversation));
      return row?.version ? `${g}.${row.version}` : undefined;
    },
    messages: (conversation, page) => readMessages(reader, conversation, page),
    message: async (id) => readMessage(reader, await generation(), id),
    async messagesOnLeaf(conversation, thing) {
      const query = `SELECT message, conversation FROM messages_${await generation()}
        WHERE leaf = ?`;
      const leaf = Buffer.from(thingPath(thing));
      const rows = await database.all<{ message: Buffer; conversation: Buffer | null }>(
        query,
        leaf,
      );
      const own = hexToBytes(conversation);
      return rows
        .filter((row) => row.conversation?.equals(own))
        .map(({ message }) => bytesToId<MessageId>(message));
    },
    async messageIds(conversation) {
      const g = await generation();
      const ids: MessageId[] = [];
      for await (const week of weeksOf(reader, g, { conversation, forward: true })) {
        const query = `SELECT message FROM message_order_${g} WHERE conversation = ? AND week = ?`;
        const rows = await database.all<Placed>(query, hexToBytes(conversation), week);
        ids.push(...rows.map(({ message }) => bytesToId<MessageId>(message)));
      }
      return [...new Set(ids)];
    },
    changes: (messages, newest) => readChanges(reader, messages, newest),
    participants: (conversation) => readParticipants(reader, conversation),
    conversationsOf: (subject, page) => readConversationsOf(reader, subject, page),
    async conversationIdsOf(subject) {
      const rows = await takesPartIn(reader, await generation(), subject);
      return rows.map((row) => bytesToId<ConversationId>(row.conversation));
    },
    inbox: (app, page) => readInbox(reader, app, page),
    people: (app, page) => readPeople(reader, app, page),
    facts: (stream) => readFacts(reader, stream),
    async *scanRecords() {
      const g = await generation();
      for (const [table, read] of [
        ['messages', readCopy],
        ['changes', readCopy],
        ['facts', readFact],
      ] as const) {
        const rows = database.each<{ copy: Buffer }>(`SELECT copy FROM ${table}_${g}`);
        for await (const row of rows) if (hasCells(row, ['copy'])) yield read(row.copy).record;
      }
    },
  };
}

interface Reader {
  readonly database: CassandraDatabase;
  readonly generation: () => Promise<number>;
}

async function readConversation(
  { database, generation }: Reader,
  id: string,
): Promise<ConversationView | undefined> {
  const query = `SELECT app, last, last_message FROM conversations_${await generation()}
    WHERE id = ?`;
  const row = await database.get<{
    app: Buffer;
    last: Buffer;
    last_message: Buffer | null;
  }>(query, hexToBytes(id));
  if (row === undefined || !hasCells(row, ['app', 'last'])) return undefined;
  return {
    id: id as ConversationId,
    app: bytesToId<AppId>(row.app),
    lastPosition: readNewest(row.last).position,
    lastMessage: row.last_message && bytesToId<MessageId>(readNewest(row.last_message).bound),
  };
}

async function readMessage(
  { database }: Pick<Reader, 'database'>,
  g: number,
  id: string,
): Promise<MessageView | undefined> {
  const query = `SELECT conversation, copy FROM messages_${g} WHERE leaf = ? AND message = ?`;
  const names = [Buffer.from(thingPath(id)), hexToBytes(id)];
  const row = await database.get<{ conversation: Buffer; copy: Buffer }>(query, ...names);
  if (row === undefined || !hasCells(row, ['conversation', 'copy'])) return undefined;
  return {
    conversation: bytesToId<ConversationId>(row.conversation),
    message: id as MessageId,
    ...readCopy(row.copy),
  };
}

/** The weeks in which a conversation has messages, from a bound on, in either direction. */
async function* weeksOf(
  { database }: Pick<Reader, 'database'>,
  g: number,
  walk: { conversation: string; forward: boolean; from?: number },
): AsyncIterable<number> {
  const { conversation, forward, from = forward ? 0 : WEEK_MAX } = walk;
  const query = `SELECT week FROM message_weeks_${g} WHERE conversation = ?
    AND week ${forward ? '>=' : '<='} ? ORDER BY week ${forward ? 'ASC' : 'DESC'}`;
  for await (const row of database.each<{ week: number }>(query, hexToBytes(conversation), from)) {
    yield row.week;
  }
}

async function readMessages(
  reader: Reader,
  conversation: string,
  page: PageRequest,
): Promise<MessageView[]> {
  const g = await reader.generation();
  const forward = page.after !== undefined;
  const bound = page.after ?? page.before;
  const edge: Buffer = bound === undefined ? Buffer.alloc(33, 0xff) : hexToBytes(bound);
  const from = bound === undefined ? {} : { from: weekOf(bound) };
  const query = `SELECT position, message FROM message_order_${g} WHERE conversation = ?
    AND week = ? AND position ${forward ? '>' : '<'} ?
    ORDER BY position ${forward ? 'ASC' : 'DESC'} LIMIT ?`;
  const found: MessageView[] = [];
  const isEnough = untilBytes(page.bytesMax);
  // Where bytes are bounded it is read in parts: nobody knows before how long a record is.
  const partMax = page.bytesMax === undefined ? page.limit : MESSAGES_PER_PART;
  let isFull = false;
  for await (const week of weeksOf(reader, g, { conversation, forward, ...from })) {
    let at: Buffer = edge;
    while (!isFull && found.length < page.limit) {
      const room = Math.min(page.limit - found.length, partMax);
      const params = [hexToBytes(conversation), week, at, room];
      const placed = await reader.database.all<Placed>(query, ...params);
      for (const message of await winners(reader, g, placed)) {
        if (isFull) break;
        found.push(message);
        isFull = isEnough(message);
      }
      if (placed.length < room) break;
      at = placed.at(-1)!.position;
    }
    if (isFull || found.length >= page.limit) break;
  }
  return forward ? found : found.reverse();
}

/** The messages of these places; a place that another copy of its message won is passed over. */
async function winners(
  { database }: Reader,
  g: number,
  placed: readonly Placed[],
): Promise<MessageView[]> {
  const read = await database.mapAll(placed, ({ message }) => {
    return readMessage({ database }, g, bytesToHex(message));
  });
  return read.filter(
    (one, i) => one?.position === bytesToHex(placed[i]!.position),
  ) as MessageView[];
}

async function readChanges(
  { database, generation }: Reader,
  messages: readonly string[],
  { edits, others = Number.MAX_SAFE_INTEGER, bytesMax }: NewestChanges,
): Promise<ChangeView[]> {
  const g = await generation();
  const list = `SELECT event, kind, at FROM changes_${g} WHERE message = ?`;
  const read = `SELECT kind, copy FROM changes_${g} WHERE message = ? AND event IN ?`;
  const found = await database.mapAll(messages, async (message) => {
    const id = hexToBytes(message);
    const listed = await database.all<{ event: Buffer; kind: string; at: Buffer }>(list, id);
    const placed = listed.filter((row) => hasCells(row, ['kind', 'at']));
    const byKind = Map.groupBy(placed, ({ kind }) => kind);
    const wanted = [...byKind].flatMap(([kind, rows]) => {
      const newest = rows.toSorted((a, b) => b.at.compare(a.at));
      return newest.slice(0, kind === 'edit' ? edits : others);
    });
    const changes: ChangeView[] = [];
    for (let at = 0; at < wanted.length; at += CHANGES_PER_QUERY) {
      const events = wanted.slice(at, at + CHANGES_PER_QUERY).map(({ event }) => event);
      const rows = await database.all<{ kind: string; copy: Buffer }>(read, id, events);
      for (const { kind, copy } of rows.filter((row) => hasCells(row, ['copy']))) {
        changes.push({ message: message as MessageId, kind, ...readCopy(copy) });
      }
    }
    return changes;
  });
  const changes = found.flat().sort(byPosition);
  const last = changes.findIndex(untilBytes(bytesMax));
  return last < 0 ? changes : changes.slice(0, last + 1);
}

async function readParticipants(
  { database, generation }: Reader,
  conversation: string,
): Promise<ParticipantView[]> {
  const query = `SELECT subject, since, latest FROM participants_${await generation()}
    WHERE conversation = ?`;
  const rows = await database.all<{ subject: Buffer; since: Buffer; latest: Buffer }>(
    query,
    hexToBytes(conversation),
  );
  const whole = rows.filter((row) => hasCells(row, ['since', 'latest']));
  const all = whole.map(({ subject, since, latest }) => ({
    subject: bytesToId<SubjectId>(subject),
    since: readOldest(since),
    left: readNewest(latest).bound[0] === 1,
  }));
  return all.sort((a, b) => (a.since < b.since ? -1 : 1));
}

async function takesPartIn({ database }: Reader, g: number, subject: string) {
  const query = `SELECT conversation, latest FROM conversations_of_${g} WHERE subject = ?`;
  const rows = await database.all<{ conversation: Buffer; latest: Buffer }>(
    query,
    hexToBytes(subject),
  );
  return rows.filter((row) => hasCells(row, ['latest']));
}

/** All of them are read, and a page of them is given: what moves is ordered nowhere but here. */
async function readConversationsOf(
  reader: Reader,
  subject: string,
  { before, limit }: ListPage,
): Promise<ConversationView[]> {
  const rows = await takesPartIn(reader, await reader.generation(), subject);
  const there = rows.filter(({ latest }) => !readNewest(latest).bound.equals(GONE));
  const ids = there.map(({ conversation }) => bytesToHex(conversation));
  return newestBefore(await readConversations(reader, ids), before).slice(0, limit);
}

async function readConversations(
  reader: Reader,
  ids: readonly string[],
): Promise<ConversationView[]> {
  const views = await reader.database.mapAll(ids, (id) => readConversation(reader, id));
  return views.filter((view) => view !== undefined);
}

function newestBefore(views: readonly ConversationView[], before?: string): ConversationView[] {
  const older = views.filter(({ lastPosition }) => before === undefined || lastPosition < before);
  return older.sort((a, b) => (a.lastPosition < b.lastPosition ? 1 : -1));
}

async function readInbox(
  reader: Reader,
  app: string,
  { before, limit }: ListPage,
): Promise<ConversationView[]> {
  const found: ConversationView[] = [];
  const settled = new Set<string>();
  let minutes = new Map<string, number>();
  const take = async () => {
    const views = await readConversations(reader, [...minutes.keys()]);
    const standing = views.filter(({ id, lastPosition }) => {
      const minute = listMinute(lastPosition);
      // Where it has moved on, or its row is not written yet, it stands elsewhere in the list.
      if (minute >= minutes.get(id)!) settled.add(id);
      return minute === minutes.get(id);
    });
    found.push(...newestBefore(standing, before));
    minutes = new Map();
  };
  const table = `inbox_${await reader.generation()}` as const;
  let minute: number | undefined;
  const from = before === undefined ? { app } : { app, before };
  for await (const places of listPlacesOf(reader.database, table, from)) {
    for (const place of places.map(readInboxPlace)) {
      // A minute is read to its end: within it, places are in no order of time.
      if (place.minute !== minute && found.length + minutes.size >= limit) {
        await take();
        if (found.length >= limit) return found.slice(0, limit);
      }
      minute = place.minute;
      const id = bytesToHex(place.conversation);
      if (!settled.has(id) && !minutes.has(id)) minutes.set(id, minute);
    }
  }
  await take();
  return found.slice(0, limit);
}

async function readPeople(
  reader: Reader,
  app: string,
  { before, limit }: ListPage,
): Promise<PersonView[]> {
  const { database } = reader;
  const g = await reader.generation();
  const query = `SELECT copy FROM facts_${g} WHERE stream = ? AND kind = 'IdentityLinked'`;
  const found: PersonView[] = [];
  const from = before === undefined ? { app } : { app, before };
  const standing = async (place: Buffer): Promise<PersonView[]> => {
    const subject = place.subarray(POSITION_BYTES);
    const rows = await database.all<{ copy: Buffer }>(query, subject);
    const whole = rows.filter((row) => hasCells(row, ['copy']));
    const since = whole.map(({ copy }) => readFact(copy).position).sort()[0];
    const isFirst = since === place.toString('hex', 0, POSITION_BYTES);
    return isFirst ? [{ subject: bytesToId<SubjectId>(subject), since }] : [];
  };
  for await (const places of listPlacesOf(database, `people_${g}`, from)) {
    while (places.length > 0 && found.length < limit) {
      const next = places.splice(0, limit - found.length);
      found.push(...(await database.mapAll(next, standing)).flat());
    }
    if (found.length >= limit) break;
  }
  return found;
}

async function readFacts({ database, generation }: Reader, stream: string): Promise<FactView[]> {
  const query = `SELECT kind, name, copy FROM facts_${await generation()} WHERE stream = ?`;
  const rows = await database.all<{ kind: string; name: string; copy: Buffer }>(
    query,
    hexToBytes(stream),
  );
  return rows
    .filter((row) => hasCells(row, ['copy']))
    .map(({ kind, name, copy }) => ({ kind, key: name, ...readFact(copy) }))
    .sort(byPosition);
}

function byPosition(a: { position: Position }, b: { position: Position }): number {
  return a.position < b.position ? -1 : 1;
}
