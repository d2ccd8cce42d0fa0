/** The projector's upserts as Cassandra statements; none of them reads before it writes. */

import { hexToBytes } from '../../base/hex.ts';
import type { Position, ViewChange } from '../../conversation/view-changes.ts';
import type { CqlStatement } from '../../engines/cassandra-database.ts';
import { thingPath } from '../../sealing/tree-path.ts';
import { type Cell, copyCell, factCell, newestCell, oldestCell } from '../view-cells.ts';
import { type ListTable, listDay, listPlaces, shardOf } from './view-lists-cassandra.ts';

type Row<Kind extends ViewChange['row']> = Extract<ViewChange, { row: Kind }>;

const WEEK_MS = 604_800_000;
/** Behind the position of a participation: whether they have left. */
export const GONE = Buffer.from([1]);
const THERE = Buffer.from([0]);

/** Which slice of a conversation a position lies in. */
export function weekOf(position: Position | string): number {
  return Math.floor(Number.parseInt(position.slice(0, 16), 16) / WEEK_MS);
}

/** The statements of these changes; rows that many of them touch are sent once. */
export function viewStatements(generation: number, changes: readonly ViewChange[]): CqlStatement[] {
  const statements = new Map<string, CqlStatement & { cell?: Cell }>();
  for (const change of changes) {
    for (const one of statementsOf(generation, change)) {
      const name = `${one.query} ${one.key}`;
      const known = statements.get(name);
      if (known === undefined || wins(one.cell, known.cell)) statements.set(name, one);
    }
  }
  return [...statements.values()].map(({ query, params }) => ({ query, params }));
}

/** The versions of the conversations in these changes; to be sent when those are written. */
export function versionStatements(
  generation: number,
  changes: readonly ViewChange[],
): CqlStatement[] {
  const versions = new Map<string, number>();
  for (const change of changes) {
    if (change.row !== 'conversation') continue;
    const { conversation, version } = change;
    versions.set(conversation, Math.max(version, versions.get(conversation) ?? 0));
  }
  // The version is its own write time: the highest stays.
  const query = `UPDATE conversations_${generation} USING TIMESTAMP ? SET version = ? WHERE id = ?`;
  return [...versions].map(([conversation, version]) => {
    return { query, params: [version, version, hexToBytes(conversation)] };
  });
}

function wins(one: Cell | undefined, other: Cell | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  return one.time > other.time || (one.time === other.time && one.value.compare(other.value) > 0);
}

interface Upsert extends CqlStatement {
  /** The row and column: of several upserts of one, only the winner is sent. */
  readonly key: string;
  readonly cell?: Cell;
}

function statementsOf(g: number, change: ViewChange): Upsert[] {
  switch (change.row) {
    case 'message':
      return messageUpserts(g, change);
    case 'conversation':
      return conversationUpserts(g, change);
    case 'participant':
      return participantUpserts(g, change);
    case 'person': {
      const { app, subject, position } = change;
      const place = listPlaces.people(position, subject);
      return listUpserts(g, 'people', { app, id: subject, position, place });
    }
    case 'change': {
      const { message, event, kind, position } = change;
      const query = `UPDATE changes_${g} USING TIMESTAMP ? SET kind = ?, at = ?, copy = ?
        WHERE message = ? AND event = ?`;
      const cell = copyCell(change);
      const at = hexToBytes(position);
      const params = [cell.time, kind, at, cell.value, hexToBytes(message), hexToBytes(event)];
      return [{ query, params, key: message + event, cell }];
    }
    case 'fact': {
      const { stream, kind, key: name } = change;
      const query = `UPDATE facts_${g} USING TIMESTAMP ? SET copy = ?
        WHERE stream = ? AND kind = ? AND name = ?`;
      const cell = factCell(change);
      const params = [cell.time, cell.value, hexToBytes(stream), kind, name];
      return [{ query, params, key: `${stream} ${kind} ${name}`, cell }];
    }
  }
}

function messageUpserts(g: number, change: Row<'message'>): Upsert[] {
  const { conversation, message, position } = change;
  const cell = copyCell(change);
  const week = weekOf(position);
  const copy = `UPDATE messages_${g} USING TIMESTAMP ? SET conversation = ?, copy = ?
    WHERE leaf = ? AND message = ?`;
  const order = `INSERT INTO message_order_${g} (conversation, week, position, message)
    VALUES (?, ?, ?, ?)`;
  const weeks = `INSERT INTO message_weeks_${g} (conversation, week) VALUES (?, ?)`;
  const place = hexToBytes(conversation);
  const leaf = Buffer.from(thingPath(message));
  return [
    { query: weeks, params: [place, week], key: `${conversation} ${week}` },
    {
      query: copy,
      params: [cell.time, place, cell.value, leaf, hexToBytes(message)],
      key: message,
      cell,
    },
    {
      query: order,
      params: [place, week, hexToBytes(position), hexToBytes(message)],
      key: message + position,
    },
  ];
}

function conversationUpserts(g: number, change: Row<'conversation'>): Upsert[] {
  const { conversation, app, position, message } = change;
  const set = (column: string, cell: Cell, more = '', values: unknown[] = []): Upsert => ({
    query: `UPDATE conversations_${g} USING TIMESTAMP ? SET ${column} = ?${more} WHERE id = ?`,
    params: [cell.time, cell.value, ...values, hexToBytes(conversation)],
    key: conversation,
    cell,
  });
  if (position === null) return [];
  return [
    set('last', newestCell(position), ', app = ?', [hexToBytes(app)]),
    ...(message === null ? [] : [set('last_message', newestCell(position, hexToBytes(message)))]),
    ...listUpserts(g, 'inbox', {
      app,
      id: conversation,
      position,
      place: listPlaces.inbox(position, conversation),
    }),
  ];
}

function participantUpserts(g: number, change: Row<'participant'>): Upsert[] {
  const { conversation, subject, position, left } = change;
  const latest = newestCell(position, left ? GONE : THERE);
  const set = (column: string, cell: Cell): Upsert => ({
    query: `UPDATE participants_${g} USING TIMESTAMP ? SET ${column} = ?
      WHERE conversation = ? AND subject = ?`,
    params: [cell.time, cell.value, hexToBytes(conversation), hexToBytes(subject)],
    key: conversation + subject,
    cell,
  });
  return [
    set('since', oldestCell(position)),
    set('latest', latest),
    {
      ...set('latest', latest),
      query: `UPDATE conversations_of_${g} USING TIMESTAMP ? SET latest = ?
        WHERE conversation = ? AND subject = ?`,
    },
  ];
}

interface ListEntry {
  readonly app: string;
  readonly id: string;
  readonly position: Position;
  readonly place: Buffer;
}

function listUpserts(g: number, table: ListTable, entry: ListEntry): Upsert[] {
  const { app, id, position, place } = entry;
  const day = listDay(position);
  return [
    {
      query: `INSERT INTO ${table}_${g} (app, day, shard, place) VALUES (?, ?, ?, ?)`,
      params: [hexToBytes(app), day, shardOf(id), place],
      key: `${app} ${day} ${place.toString('hex')}`,
    },
    {
      query: `INSERT INTO ${table}_days_${g} (app, day) VALUES (?, ?)`,
      params: [hexToBytes(app), day],
      key: `${app} ${day}`,
    },
  ];
}
