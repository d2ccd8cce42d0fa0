/** The projector's upserts. Rows that one batch touches often are sent once. */

import { hexToBytes } from '../../base/hex.ts';
import type { ViewChange } from '../../conversation/view-changes.ts';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import { thingPath } from '../../sealing/tree-path.ts';

type Row<Kind extends ViewChange['row']> = Extract<ViewChange, { row: Kind }>;

interface ConversationUpdate {
  app: string;
  last: string | null;
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
  const target = { database, g: generation };
  for (const change of changes) {
    if (change.row === 'message') messages.push(change);
    else if (change.row === 'conversation') mergeConversation(conversations, change);
    else if (change.row === 'participant') mergeParticipant(participants, change);
    else if (change.row === 'person') writePerson(target, change);
    else if (change.row === 'change') writeChange(target, change);
    else writeFact(target, change);
  }
  for (const [id, update] of conversations) writeConversation(target, id, update);
  for (const update of participants.values()) writeParticipant(target, update);
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
    into.set(conversation, { app, version, last: position, message, messageAt });
    return;
  }
  if (version > known.version) known.version = version;
  if (position !== null && (known.last === null || position > known.last)) known.last = position;
  if (messageAt !== null && (known.messageAt === null || messageAt > known.messageAt)) {
    known.message = message;
    known.messageAt = messageAt;
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
  const { app, last, message, messageAt, version } = update;
  if (last === null) {
    const sql = `UPDATE conversations_${g} SET version = max(version, ?) WHERE id = ?`;
    database.run(sql, version, hexToBytes(id));
    return;
  }
  const sql = `INSERT INTO conversations_${g} (id, app, last, last_message, last_message_at,
    version) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET
    last = max(last, ?3), version = max(version, ?6),
    last_message = CASE WHEN ?5 > coalesce(last_message_at, x'') THEN ?4 ELSE last_message END,
    last_message_at = CASE WHEN ?5 > coalesce(last_message_at, x'') THEN ?5
      ELSE last_message_at END`;
  const newest = [optionalBytes(message), optionalBytes(messageAt)];
  database.run(sql, hexToBytes(id), hexToBytes(app), hexToBytes(last), ...newest, version);
}

function writeParticipant({ database, g }: Target, update: ParticipantUpdate): void {
  const sql = `INSERT INTO participants_${g} (subject, conversation, since, last, gone)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (subject, conversation) DO UPDATE SET
    since = min(since, ?3), gone = CASE WHEN ?4 > last THEN ?5 ELSE gone END, last = max(last, ?4)`;
  const { subject, conversation, since, last, left } = update;
  const ids = [hexToBytes(subject), hexToBytes(conversation)];
  database.run(sql, ...ids, hexToBytes(since), hexToBytes(last), left ? 1 : 0);
}

function writePerson({ database, g }: Target, person: Row<'person'>): void {
  const sql = `INSERT INTO people_${g} (subject, app, since) VALUES (?, ?, ?)
    ON CONFLICT (subject) DO UPDATE SET since = min(since, excluded.since)`;
  const { subject, app, position } = person;
  database.run(sql, hexToBytes(subject), hexToBytes(app), hexToBytes(position));
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
  const sql = `INSERT INTO messages_${g} (conversation, position, leaf, message, attempt, record)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (leaf, message) DO UPDATE SET
    position = excluded.position, attempt = excluded.attempt, record = excluded.record
    WHERE ${COPY_WINS}`;
  const { position, attempt, record } = message;
  const names = [thingPath(message.message), hexToBytes(message.message)];
  database.run(sql, conversation, hexToBytes(position), ...names, attempt, record);
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
