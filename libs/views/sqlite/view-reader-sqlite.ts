/** The readers' queries; each names the generation that serves at that moment. */

import { bytesToHex, hexToBytes } from '../../base/hex.ts';
import {
  type AppId,
  bytesToId,
  type ConversationId,
  type MessageId,
  type SubjectId,
} from '../../base/ids.ts';
import type { Position } from '../../conversation/view-changes.ts';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import { thingPath } from '../../sealing/tree-path.ts';
import {
  type ConversationView,
  type MessageView,
  type NewestChanges,
  type PageRequest,
  untilBytes,
  type ViewReader,
} from '../view-store.ts';

const CHANGES_PER_QUERY = 100;
const ALL = Number.MAX_SAFE_INTEGER;
const buffer = (value: Uint8Array) => Buffer.from(value.buffer, value.byteOffset, value.byteLength);

/** Where a page ends or begins; without a position, behind all of them. */
const edge = (position: string | undefined) =>
  position === undefined ? Buffer.alloc(33, 0xff) : hexToBytes(position);

interface StoredConversation {
  id: Uint8Array;
  app: Uint8Array;
  last: Uint8Array;
  last_message: Uint8Array | null;
}

interface StoredMessage {
  conversation: number;
  position: Uint8Array;
  message: Uint8Array;
  record: Uint8Array;
}

interface StoredChange {
  message: Uint8Array;
  kind: string;
  position: Uint8Array;
  record: Uint8Array;
}

/** Opens the queries over a database. */
export function createViewReaderSqlite(
  database: SqliteDatabase,
  generation: () => number,
): ViewReader {
  return {
    async generation() {
      return generation();
    },
    async conversation(id) {
      return readConversation(database, generation(), id);
    },
    async version(conversation) {
      const g = generation();
      const sql = `SELECT version FROM conversations_${g} WHERE id = ?`;
      const row = database.get<{ version: number }>(sql, hexToBytes(conversation));
      return row?.version ? `${g}.${row.version}` : undefined;
    },
    async messages(conversation, page) {
      return readMessages(database, generation(), { conversation, page });
    },
    async message(id) {
      const g = generation();
      const sql = `SELECT m.*, c.id FROM messages_${g} m JOIN conversations_${g} c
        ON c.row = m.conversation WHERE m.leaf = ? AND m.message = ?`;
      const names = [thingPath(id), hexToBytes(id)];
      const row = database.get<StoredMessage & { id: Uint8Array }>(sql, ...names);
      return row && toMessage(row, bytesToId<ConversationId>(row.id));
    },
    async messagesOnLeaf(conversation, thing) {
      const g = generation();
      const sql = `SELECT message FROM messages_${g} WHERE leaf = ? AND conversation =
        (SELECT row FROM conversations_${g} WHERE id = ?)`;
      const values = [thingPath(thing), hexToBytes(conversation)];
      const rows = database.all<{ message: Uint8Array }>(sql, ...values);
      return rows.map((row) => bytesToId<MessageId>(row.message));
    },
    async messageIds(conversation) {
      const g = generation();
      const sql = `SELECT message FROM messages_${g} WHERE conversation =
        (SELECT row FROM conversations_${g} WHERE id = ?)`;
      const rows = database.all<{ message: Uint8Array }>(sql, hexToBytes(conversation));
      return rows.map((row) => bytesToId<MessageId>(row.message));
    },
    async changes(messages, newest) {
      return readChanges(database, generation(), { messages, newest });
    },
    async participants(conversation) {
      const sql = `SELECT subject, since, gone FROM participants_${generation()}
        WHERE conversation = ? ORDER BY since`;
      const rows = database.all<{ subject: Uint8Array; since: Uint8Array; gone: number }>(
        sql,
        hexToBytes(conversation),
      );
      return rows.map(({ subject, since, gone }) => {
        return {
          subject: bytesToId<SubjectId>(subject),
          since: bytesToHex(since) as Position,
          left: gone === 1,
        };
      });
    },
    async conversationsOf(subject, { before, limit }) {
      const g = generation();
      const sql = `SELECT c.* FROM participants_${g} p JOIN conversations_${g} c
        ON c.id = p.conversation WHERE p.subject = ? AND p.gone = 0 AND c.last < ?
        ORDER BY c.last DESC LIMIT ?`;
      const rows = database.all<StoredConversation>(sql, hexToBytes(subject), edge(before), limit);
      return rows.map(toConversation);
    },
    async conversationIdsOf(subject) {
      const sql = `SELECT conversation FROM participants_${generation()} WHERE subject = ?`;
      const rows = database.all<{ conversation: Uint8Array }>(sql, hexToBytes(subject));
      return rows.map((row) => bytesToId<ConversationId>(row.conversation));
    },
    async inbox(app, { before, limit }) {
      const sql = `SELECT * FROM conversations_${generation()} WHERE app = ? AND last < ?
        ORDER BY last DESC LIMIT ?`;
      const rows = database.all<StoredConversation>(sql, hexToBytes(app), edge(before), limit);
      return rows.map(toConversation);
    },
    async people(app, { before, limit }) {
      const sql = `SELECT subject, since FROM people_${generation()} WHERE app = ? AND since < ?
        ORDER BY since DESC LIMIT ?`;
      return database
        .all<{ subject: Uint8Array; since: Uint8Array }>(sql, hexToBytes(app), edge(before), limit)
        .map(({ subject, since }) => {
          return { subject: bytesToId<SubjectId>(subject), since: bytesToHex(since) as Position };
        });
    },
    async facts(stream) {
      const sql = `SELECT kind, name, position, record FROM facts_${generation()}
        WHERE stream = ? ORDER BY position`;
      return database
        .all<{ kind: string; name: string; position: Uint8Array; record: Uint8Array }>(
          sql,
          hexToBytes(stream),
        )
        .map(({ kind, name, position, record }) => {
          return {
            kind,
            key: name,
            position: bytesToHex(position) as Position,
            record: buffer(record),
          };
        });
    },
    scanRecords: () => scanRecords(database, generation()),
  };
}

function readConversation(
  database: SqliteDatabase,
  g: number,
  id: string,
): ConversationView | undefined {
  const sql = `SELECT * FROM conversations_${g} WHERE id = ?`;
  const row = database.get<StoredConversation>(sql, hexToBytes(id));
  return row && toConversation(row);
}

function toConversation(row: StoredConversation): ConversationView {
  return {
    id: bytesToId<ConversationId>(row.id),
    app: bytesToId<AppId>(row.app),
    lastPosition: bytesToHex(row.last) as Position,
    lastMessage: row.last_message && bytesToId<MessageId>(row.last_message),
  };
}

function readMessages(
  database: SqliteDatabase,
  g: number,
  query: { conversation: string; page: PageRequest },
): MessageView[] {
  const { conversation, page } = query;
  const found = database.get<{ row: number }>(
    `SELECT row FROM conversations_${g} WHERE id = ?`,
    hexToBytes(conversation),
  );
  if (found === undefined) return [];
  const forward = page.after !== undefined;
  const bound = page.after ?? page.before;
  const compare = forward ? '>' : '<';
  const sql = `SELECT * FROM messages_${g} WHERE conversation = ?
    AND position ${compare} ? ORDER BY position ${forward ? 'ASC' : 'DESC'} LIMIT ?`;
  const values = [found.row, edge(bound), page.limit];
  const rows = database.allUntil<StoredMessage>(sql, values, untilBytes(page.bytesMax));
  const messages = rows.map((row) => toMessage(row, conversation));
  return forward ? messages : messages.reverse();
}

function toMessage(row: StoredMessage, conversation: string): MessageView {
  const position = bytesToHex(row.position) as Position;
  return {
    conversation: conversation as ConversationId,
    message: bytesToId<MessageId>(row.message),
    position,
    record: buffer(row.record),
  };
}

function readChanges(
  database: SqliteDatabase,
  g: number,
  { messages, newest }: { readonly messages: readonly string[]; readonly newest: NewestChanges },
) {
  const slots = new Array(CHANGES_PER_QUERY).fill('?').join(',');
  // Only places are sorted: what is said may be long, and is read of a few.
  const sql = `SELECT message, kind, position, record FROM changes_${g} WHERE row IN (
      SELECT row FROM (SELECT row, kind, row_number() OVER (
          PARTITION BY message, kind ORDER BY position DESC) AS n
        FROM changes_${g} WHERE message IN (${slots}))
      WHERE n <= CASE kind WHEN 'edit' THEN ? ELSE ? END)
    ORDER BY position`;
  const found = [];
  const isEnough = untilBytes(newest.bytesMax);
  let isFull = false;
  for (let at = 0; at < messages.length && !isFull; at += CHANGES_PER_QUERY) {
    const part = messages.slice(at, at + CHANGES_PER_QUERY).map(hexToBytes);
    const values = Array.from({ length: CHANGES_PER_QUERY }, (_, i) => part[i] ?? null);
    const rows = database.allUntil<StoredChange>(
      sql,
      [...values, newest.edits, newest.others ?? ALL],
      (row) => (isFull = isEnough(row)),
    );
    for (const { message, kind, position, record } of rows) {
      const at = bytesToHex(position) as Position;
      found.push({
        message: bytesToId<MessageId>(message),
        kind,
        position: at,
        record: buffer(record),
      });
    }
  }
  return found;
}

async function* scanRecords(database: SqliteDatabase, g: number): AsyncIterable<Buffer> {
  for (const table of ['messages', 'changes', 'facts']) {
    let from = 0;
    for (;;) {
      const sql = `SELECT row, record FROM ${table}_${g} WHERE row > ? ORDER BY row LIMIT 1000`;
      const rows = database.all<{ row: number; record: Uint8Array }>(sql, from);
      for (const { record } of rows) yield buffer(record);
      const last = rows.at(-1);
      if (last === undefined) break;
      from = last.row;
    }
  }
}
