/** The projector's upserts. Rows that one batch touches often are sent once. */

import { hexToBytes } from '../../base/hex.ts';
import type { ViewChange } from '../../conversation/view-changes.ts';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';

type Row<Kind extends ViewChange['row']> = Extract<ViewChange, { row: Kind }>;

interface ConversationUpdate {
  app: string;
  first: string;
  last: string;
  message: string | null;
  messageAt: string | null;
  version: number;
}

interface ParticipantUpdate {
  subject: string;
  conversation: string;
  since: string;
  last: string;
  left: boolean;
}

/** Applies changes inside the caller's transaction. */
export function applyViewChanges(
  database: SqliteDatabase,
  generation: number,
  changes: readonly ViewChange[],
): void {
  const messages: Row<'message'>[] = [];
  const conversations = new Map<string, ConversationUpdate>();
  const participants = new Map<string, ParticipantUpdate>();
  const inbox = new Map<string, Row<'inbox'>>();
  const target = { database, g: generation };
  for (const change of changes) {
    if (change.row === 'message') messages.push(change);
    else if (change.row === 'conversation') mergeConversation(conversations, change);
    else if (change.row === 'participant') mergeParticipant(participants, change);
    else if (change.row === 'inbox') inbox.set(change.day + change.conversation, change);
    else if (change.row === 'change') writeChange(target, change);
    else writeFact(target, change);
  }
  for (const [id, update] of conversations) writeConversation(target, id, update);
  for (const update of participants.values()) writeParticipant(target, update);
  for (const row of inbox.values()) writeInbox(target, row);
  const rows = new Map<string, number>();
  for (const message of messages) writeMessage(target, message, rows);
}

interface Target {
  readonly database: SqliteDatabase;
  /** The generation's number, the suffix of its tables. */
  readonly g: number;
}

const optionalBytes = (hex: string | null) => (hex === null ? null : hexToBytes(hex));

function mergeConversation(
  into: Map<string, ConversationUpdate>,
  change: Row<'conversation'>,
): void {
  const { conversation, position, message, app, version } = change;
  const known = into.get(conversation);
  const messageAt = message === null ? null : position;
  if (known === undefined) {
    const at = { first: position, last: position, message, messageAt };
    into.set(conversation, { app, version, ...at });
    return;
  }
  if (version > known.version) known.version = version;
  if (position < known.first) known.first = position;
  if (position > known.last) known.last = position;
  if (message !== null && (known.messageAt === null || position > known.messageAt)) {
    known.message = message;
    known.messageAt = position;
  }
}

function mergeParticipant(into: Map<string, ParticipantUpdate>, change: Row<'participant'>): void {
  const { subject, conversation, position, left } = change;
  const known = into.get(subject + conversation);
  if (known === undefined) {
    const update = { subject, conversation, since: position, last: position, left };
    into.set(subject + conversation, update);
    return;
  }
  if (position < known.since) known.since = position;
  if (position > known.last) {
    known.last = position;
    known.left = left;
  }
}

function writeConversation({ database, g }: Target, id: string, update: ConversationUpdate): void {
  const sql = `INSERT INTO conversations_${g} (id, app, first, last, last_message, last_message_at,
    version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET
    first = min(first, ?3), last = max(last, ?4), version = max(version, ?7),
    last_message = CASE WHEN ?6 > coalesce(last_message_at, x'') THEN ?5 ELSE last_message END,
    last_message_at = CASE WHEN ?6 > coalesce(last_message_at, x'') THEN ?6
      ELSE last_message_at END`;
  const { app, first, last, message, messageAt, version } = update;
  const values = [hexToBytes(app), hexToBytes(first), hexToBytes(last)];
  const newest = [optionalBytes(message), optionalBytes(messageAt)];
  database.run(sql, hexToBytes(id), ...values, ...newest, version);
}

function writeParticipant({ database, g }: Target, update: ParticipantUpdate): void {
  const sql = `INSERT INTO participants_${g} (subject, conversation, since, last, gone)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (subject, conversation) DO UPDATE SET
    since = min(since, ?3), gone = CASE WHEN ?4 > last THEN ?5 ELSE gone END, last = max(last, ?4)`;
  const { subject, conversation, since, last, left } = update;
  const ids = [hexToBytes(subject), hexToBytes(conversation)];
  database.run(sql, ...ids, hexToBytes(since), hexToBytes(last), left ? 1 : 0);
}

function writeInbox({ database, g }: Target, row: Row<'inbox'>): void {
  const sql = `INSERT INTO inbox_${g} VALUES (?, ?, ?) ON CONFLICT DO NOTHING`;
  database.run(sql, hexToBytes(row.app), row.day, hexToBytes(row.conversation));
}

// Of several copies of an event the highest attempt counts, then the smallest recordedAt: that is
// the smallest position, because all else in it is the same.
const COPY_WINS = `excluded.attempt > attempt
  OR (excluded.attempt = attempt AND excluded.position < position)`;

function writeMessage({ database, g }: Target, message: Row<'message'>, rows: Map<string, number>) {
  let conversation = rows.get(message.conversation);
  if (conversation === undefined) {
    const sql = `SELECT row FROM conversations_${g} WHERE id = ?`;
    conversation = database.get<{ row: number }>(sql, hexToBytes(message.conversation))!.row;
    rows.set(message.conversation, conversation);
  }
  const sql = `INSERT INTO messages_${g} (conversation, position, message, attempt, record)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT (message) DO UPDATE SET position = excluded.position,
    attempt = excluded.attempt, record = excluded.record WHERE ${COPY_WINS}`;
  const { position, attempt, record } = message;
  database.run(
    sql,
    conversation,
    hexToBytes(position),
    hexToBytes(message.message),
    attempt,
    record,
  );
}

function writeChange({ database, g }: Target, change: Row<'change'>): void {
  const sql = `INSERT INTO changes_${g} (message, event, kind, position, attempt, record)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (message, event) DO UPDATE SET
    position = excluded.position, attempt = excluded.attempt, record = excluded.record
    WHERE ${COPY_WINS}`;
  const { kind, position, attempt, record } = change;
  const ids = [hexToBytes(change.message), hexToBytes(change.event)];
  database.run(sql, ...ids, kind, hexToBytes(position), attempt, record);
}

// The last 16 bytes of a position are the event id: the same event is another copy, another event
// replaces an older one.
function writeFact({ database, g }: Target, fact: Row<'fact'>): void {
  const sql = `INSERT INTO facts_${g} (stream, kind, name, position, attempt, record)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (stream, kind, name) DO UPDATE SET
    position = excluded.position, attempt = excluded.attempt, record = excluded.record
    WHERE CASE WHEN substr(excluded.position, 17) = substr(position, 17) THEN ${COPY_WINS}
      ELSE excluded.position > position END`;
  const { kind, key, position, attempt, record } = fact;
  database.run(sql, hexToBytes(fact.stream), kind, key, hexToBytes(position), attempt, record);
}
