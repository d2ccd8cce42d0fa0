/**
 * Folds one event into idempotent upserts of the views. Pure, and without any key: the sealed
 * record is copied as it is. Every row is written from one stream only.
 */
import { recordedAtMs } from '../base/clock.ts';
import type { SealedEvent } from '../codec/sealed-event.ts';
import { isEventType } from './event-types.ts';

/**
 * (occurredAt, recordedAt, event id) as 32 bytes of hex: text order is the order of events. What
 * claims to come from the future stands where it was recorded, so that it outlives nothing later.
 */
export type Position = string & { readonly __position: never };

export type ChangeKind = 'edit' | 'reaction' | 'receipt';

/** An upsert: of copies of one event the highest attempt, then the first, wins. */
export type ViewChange =
  | {
      readonly row: 'message';
      readonly conversation: string;
      readonly message: string;
      readonly position: Position;
      readonly attempt: number;
      readonly record: Buffer;
    }
  | {
      readonly row: 'change';
      readonly kind: ChangeKind;
      readonly message: string;
      readonly event: string;
      readonly position: Position;
      readonly attempt: number;
      readonly record: Buffer;
    }
  | {
      readonly row: 'participant';
      readonly conversation: string;
      readonly subject: string;
      readonly position: Position;
      readonly left: boolean;
    }
  | {
      readonly row: 'conversation';
      readonly app: string;
      readonly conversation: string;
      /** Where it moves the conversation to among others, if it is the newest; null: nowhere. */
      readonly position: Position | null;
      /** The message that may be the conversation's newest; null for other events. */
      readonly message: string | null;
      /** Rises with each event of the conversation, whatever its position. */
      readonly version: number;
    }
  | {
      readonly row: 'person';
      readonly app: string;
      readonly subject: string;
      /** Of the identity that was linked: the oldest stays. */
      readonly position: Position;
    }
  | {
      readonly row: 'fact';
      readonly stream: string;
      readonly kind: string;
      /** Facts with the same key replace one another; the newest position stays. */
      readonly key: string;
      readonly position: Position;
      readonly attempt: number;
      readonly record: Buffer;
    };

/** The position of an event in its conversation. */
export function eventPosition(header: SealedEvent['header']): Position {
  const occurredAt = placedAtMs(header).toString(16).padStart(16, '0');
  return (occurredAt + header.recordedAt + header.eventId) as Position;
}

function placedAtMs({ occurredAt, recordedAt }: SealedEvent['header']): number {
  return Math.min(occurredAt, recordedAtMs(recordedAt));
}

/**
 * The views' upserts of one event; empty for facts that no view shows. `offset` is its place in its
 * partition: a conversation lies in one, so the place behind its last event tells its version.
 */
export function eventToViewChanges(
  event: SealedEvent,
  record: Buffer,
  offset: number,
): ViewChange[] {
  const { header } = event;
  const version = offset + 1;
  if (!isEventType(header.type)) return [];
  const position = eventPosition(header);
  const { attempt } = header;
  switch (header.type) {
    case 'MessagePosted':
      return messageChanges(event, record, { position, version });
    case 'MessageEdited':
    case 'MessageReacted':
    case 'ReceiptRecorded': {
      const kinds = {
        MessageEdited: 'edit',
        MessageReacted: 'reaction',
        ReceiptRecorded: 'receipt',
      };
      const kind = kinds[header.type] as ChangeKind;
      const event = header.eventId;
      return [
        { row: 'change', kind, message: header.thing, event, position, attempt, record },
        // What happens to a message leaves its conversation where it is among others.
        conversationChange(header, { position: null, version }, null),
      ];
    }
    case 'ParticipantJoined':
    case 'ParticipantLeft': {
      const left = header.type === 'ParticipantLeft';
      const conversation = header.stream;
      return [
        { row: 'participant', conversation, subject: header.owner, position, left },
        conversationChange(header, { position, version }, null),
      ];
    }
    case 'ProfileUpdated':
      // A cleared profile has another place: what cannot be opened any more must not keep the slot.
      return [
        factChange(header, record, { position, key: `${header.contentKind} ${header.place}` }),
      ];
    case 'IdentityLinked':
      return [
        factChange(header, record, { position, key: header.eventId }),
        { row: 'person', app: header.app, subject: header.owner, position },
      ];
    case 'ConversationDescribed':
      return [
        factChange(header, record, { position, key: `${header.contentKind} ${header.place}` }),
        conversationChange(header, { position, version }, null),
        ...personalParticipant(header, position),
      ];
    // Of what was taken, the views show nothing: consumers hear of it from the log.
    case 'SubjectErased':
    case 'ProfileCleared':
    case 'MessageForgotten':
    case 'ConversationCleared':
    case 'ConversationDeleted':
    case 'DaysForgotten':
      return [];
  }
}

function messageChanges(
  { header }: SealedEvent,
  record: Buffer,
  place: { readonly position: Position; readonly version: number },
): ViewChange[] {
  const { position } = place;
  const { attempt } = header;
  const conversation = header.stream;
  return [
    { row: 'message', conversation, message: header.thing, position, attempt, record },
    conversationChange(header, place, header.thing),
    ...personalParticipant(header, position),
  ];
}

function personalParticipant(header: SealedEvent['header'], position: Position): ViewChange[] {
  if (header.ownerKind !== 'person') return [];
  const conversation = header.stream;
  return [{ row: 'participant', conversation, subject: header.owner, position, left: false }];
}

function conversationChange(
  header: SealedEvent['header'],
  place: { readonly position: Position | null; readonly version: number },
  message: string | null,
): ViewChange {
  const { app, stream: conversation } = header;
  return { row: 'conversation', app, conversation, message, ...place };
}

function factChange(
  header: SealedEvent['header'],
  record: Buffer,
  slot: { position: Position; key: string },
): ViewChange {
  const { attempt, stream, type: kind } = header;
  return { row: 'fact', stream, kind, attempt, record, ...slot };
}
