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
import { readCopy, readFact, readNewest, readOldest } from '../view-cells.ts';
import type {
  ChangeView,
  ConversationView,
  FactView,
  MessageView,
  PageRequest,
  ParticipantView,
  ViewReader,
} from '../view-store.ts';
import { INBOX_SHARDS, weekOf } from './view-writer-cassandra.ts';

const DAY_MAX = 100_000;
const WEEK_MAX = 1_000_000;
const CHANGES_PER_QUERY = 100;

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
    changes: (messages, editsMax) => readChanges(reader, messages, editsMax),
    participants: (conversation) => readParticipants(reader, conversation),
    async conversationsOf(subject, { after, limit }) {
      const query = `SELECT conversation FROM conversations_of_${await generation()}
        WHERE subject = ? AND conversation > ? LIMIT ?`;
      const from = hexToBytes(after ?? '');
      const rows = await database.all<{ conversation: Buffer }>(
        query,
        hexToBytes(subject),
        from,
        limit,
      );
      return rows.map((row) => bytesToId<ConversationId>(row.conversation));
    },
    inbox: (app, page) => readInbox(reader, app, page),
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
  const query = `SELECT conversation, copy FROM messages_${g} WHERE message = ?`;
  const row = await database.get<{ conversation: Buffer; copy: Buffer }>(query, hexToBytes(id));
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
  for await (const week of weeksOf(reader, g, { conversation, forward, ...from })) {
    let at: Buffer = edge;
    while (found.length < page.limit) {
      const room = page.limit - found.length;
      const params = [hexToBytes(conversation), week, at, room];
      const placed = await reader.database.all<Placed>(query, ...params);
      found.push(...(await winners(reader, g, placed)));
      if (placed.length < room) break;
      at = placed.at(-1)!.position;
    }
    if (found.length >= page.limit) break;
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
  editsMax: number,
): Promise<ChangeView[]> {
  const g = await generation();
  const list = `SELECT event, kind, at FROM changes_${g} WHERE message = ?`;
  const read = `SELECT kind, copy FROM changes_${g} WHERE message = ? AND event IN ?`;
  const found = await database.mapAll(messages, async (message) => {
    const id = hexToBytes(message);
    const listed = await database.all<{ event: Buffer; kind: string; at: Buffer }>(list, id);
    const placed = listed.filter((row) => hasCells(row, ['kind', 'at']));
    const edits = placed.filter(({ kind }) => kind === 'edit');
    const newest = edits.toSorted((a, b) => b.at.compare(a.at)).slice(0, editsMax);
    const wanted = [...placed.filter(({ kind }) => kind !== 'edit'), ...newest];
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
  return found.flat().sort(byPosition);
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

async function readInbox(
  { database, generation }: Reader,
  app: string,
  { beforeDay = DAY_MAX, limit }: { beforeDay?: number; limit: number },
) {
  const g = await generation();
  const days = `SELECT day FROM inbox_days_${g} WHERE app = ? AND day < ? ORDER BY day DESC`;
  const query = `SELECT conversation FROM inbox_${g} WHERE app = ? AND day = ? AND shard = ?`;
  const shards = Array.from({ length: INBOX_SHARDS }, (_, shard) => shard);
  const found: { conversation: ConversationId; day: number }[] = [];
  for await (const { day } of database.each<{ day: number }>(days, hexToBytes(app), beforeDay)) {
    const rows = await database.mapAll(shards, (shard) => {
      return database.all<{ conversation: Buffer }>(query, hexToBytes(app), day, shard);
    });
    const ids = rows.flat().map((row) => bytesToId<ConversationId>(row.conversation));
    found.push(...ids.sort().map((conversation) => ({ conversation, day })));
    if (found.length >= limit) break;
  }
  return found.slice(0, limit);
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
