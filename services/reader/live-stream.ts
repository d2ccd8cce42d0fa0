/**
 * What consumers are told of an app's events, in the order of each partition, removals included. A
 * stream stands at the next offset of every partition; its cursor is those, sealed.
 */

import { dayToText } from '../../libs/base/day.ts';
import type { AppId, ConversationId, MessageId, SubjectId } from '../../libs/base/ids.ts';
import { isLetheError, isUnreadable, type UnreadableCode } from '../../libs/base/lethe-error.ts';
import type { SealedEvent } from '../../libs/codec/sealed-event.ts';
import {
  type EventType,
  isEventType,
  type LossRecorded,
} from '../../libs/conversation/event-types.ts';
import {
  decodePlaced,
  type EventLog,
  isTombstone,
  type LogPosition,
  type PlacedRecord,
} from '../../libs/event-log/event-log.ts';
import type { AppCursors } from '../../libs/event-log/log-cursors.ts';
import { openContents } from '../../libs/people/open-content.ts';
import { readPeople } from '../../libs/people/people.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';
import { readMessage } from './read-messages.ts';

/** What consumers are told of one event. */
export interface StreamEvent {
  readonly type: string;
  readonly payload: Record<string, unknown>;
}

/** Opens one event; undefined: what it told of is gone. It can be called again on any change. */
export type OpenEvent = (powers: ReaderPowers) => Promise<StreamEvent | undefined>;

const PAGE_RECORDS = 200;

const STREAM_TYPES: Readonly<Record<EventType, string>> = {
  MessagePosted: 'conversation:message',
  MessageEdited: 'message:update',
  MessageReacted: 'message:reaction',
  ReceiptRecorded: 'message:receipt',
  ParticipantJoined: 'conversation:join',
  ParticipantLeft: 'conversation:leave',
  ProfileUpdated: 'user:update',
  IdentityLinked: 'client:add',
  ConversationDescribed: 'conversation:update',
  SubjectErased: 'user:remove',
  ProfileCleared: 'user:clear',
  MessageForgotten: 'message:remove',
  ConversationCleared: 'conversation:clear',
  ConversationDeleted: 'conversation:remove',
  DaysForgotten: 'days:remove',
};

const UNREADABLE: Readonly<Record<UnreadableCode, string>> = {
  EVENT_TAMPERED: 'event:tampered',
  FORMAT_UNKNOWN: 'event:unreadable',
};

/** Where a stream stands: the next offset of each partition. */
export function sealOffsets(cursors: AppCursors, offsets: readonly number[]): string {
  const places = offsets.map((offset, partition) => ({ partition, offset }));
  return cursors.seal('stream', places);
}

/** The offsets of a cursor; undefined: it is not of this app and store, or ahead of its log. */
export async function readOffsets(
  { log }: Pick<ReaderPowers, 'log'>,
  cursors: AppCursors,
  cursor: string,
): Promise<number[] | undefined> {
  const places = cursors.open('stream', cursor);
  if (places?.length !== log.partitions) return undefined;
  const ends = await log.endOffsets();
  const isThere = places.every(({ partition, offset }) => offset <= (ends[partition] ?? -1));
  return isThere ? places.map(({ offset }) => offset) : undefined;
}

/** A place of the log, and the app's own event that lies there, if one does. */
export interface StreamRecord extends LogPosition {
  readonly open: OpenEvent | undefined;
  /**
   * It is told when the views have it: they are asked for what it says, and so will its consumers.
   * What takes away waits only behind what lies before it: keys decide what is read after it.
   */
  readonly needsViews: boolean;
}

/** The next records of a partition, in their order; none: there are none now. */
export async function readStream(
  { log }: Pick<ReaderPowers, 'log'>,
  app: AppId,
  { partition, offset: from }: LogPosition,
): Promise<StreamRecord[]> {
  const records = await log.read(partition, from, PAGE_RECORDS);
  return records.map((record) => {
    const { offset } = record;
    const event = decodeOwn(log, record, app);
    const open = event && ((own: ReaderPowers) => tryStreamEvent(own, event));
    const needsViews = event !== undefined && event.header.ownerKind !== 'app';
    return { partition, offset, open, needsViews };
  });
}

function decodeOwn(
  log: Pick<EventLog, 'partitions'>,
  record: PlacedRecord,
  app: AppId,
): SealedEvent | undefined {
  if (isTombstone(record)) return undefined;
  try {
    const event = decodePlaced(record, log);
    return event.header.app === app && isEventType(event.header.type) ? event : undefined;
  } catch (error) {
    // The projector keeps a reference to what cannot be read; the stream goes on.
    if (isLetheError(error)) return undefined;
    throw error;
  }
}

/** One event that cannot be read must not keep consumers from the removals behind it. */
async function tryStreamEvent(...given: Parameters<typeof toStreamEvent>) {
  try {
    return await toStreamEvent(...given);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return { type: UNREADABLE[error.code], payload: {} };
  }
}

async function toStreamEvent(
  powers: ReaderPowers,
  event: SealedEvent,
): Promise<StreamEvent | undefined> {
  const { header } = event;
  const type = STREAM_TYPES[header.type as EventType];
  const [opened] = await openContents(powers, [event]);
  // What was erased since it was recorded is passed over; its removal comes as its own event.
  if (opened?.content === undefined) return undefined;
  if (header.ownerKind === 'app') {
    const { user, conversation, message, fromDay, toDay } = opened.content as LossRecorded;
    const payload = {
      ...(user !== null && { user: { id: user } }),
      ...(conversation !== null && {
        conversation: await conversationOf(powers, header.app, conversation as ConversationId),
      }),
      ...(message !== null && { message: { id: message } }),
      ...(fromDay !== null && { from: dayToText(fromDay) }),
      ...(toDay !== null && { to: dayToText(toDay + 1) }),
    };
    return { type, payload };
  }
  const conversation = await conversationOf(powers, header.app, header.stream as ConversationId);
  if (header.type.startsWith('Message') || header.type === 'ReceiptRecorded') {
    const at = {
      conversation: header.stream as ConversationId,
      message: header.thing as MessageId,
    };
    const message = await readMessage(powers, header.app, at);
    return message && { type, payload: { conversation, message } };
  }
  const person = (await readPeople(powers, header.app, [header.owner as SubjectId]))
    .values()
    .next();
  const user = person.value && { user: { id: person.value.value.alias } };
  const isAboutUser = header.type === 'ProfileUpdated' || header.type === 'IdentityLinked';
  return { type, payload: { ...(isAboutUser ? {} : { conversation }), ...user } };
}

/** Of which type the conversation is, and of a personal one, whose: all in it goes with them. */
async function conversationOf({ directory }: ReaderPowers, app: AppId, id: ConversationId) {
  const [entry] = await directory.conversations(app, [id]);
  if (typeof entry !== 'object') return { id };
  const { kind: type, person } = entry.value;
  const [owner] = person === null ? [] : await directory.subjects(app, [person]);
  return { id, type, ...(owner && { userId: owner.value.alias }) };
}
