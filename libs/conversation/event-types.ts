/** The facts that lie on the log, and the content each is sealed with (see `schemas/`). */
import { type RecordCodec, recordCodec } from '../codec/avro.ts';
import type { ReactionAction } from './delivery.ts';

/** Content of a message. Its author is the owner of the event, or the agent named here. */
export interface MessagePosted {
  readonly text: string | null;
  /** JSON of everything in the content object but its type and text. */
  readonly content: string | null;
  /** Subject id of the business author. */
  readonly agent: string | null;
  readonly authorSubtypes: readonly string[];
  readonly quotedExternalId: string | null;
  readonly metadata: string | null;
  readonly purpose: string | null;
  readonly source: string | null;
  readonly externalId: string | null;
}

/** Another content for a message. */
export interface MessageEdited {
  readonly text: string | null;
  readonly content: string | null;
  /** Subject id, when the editor is not the owner of the message. */
  readonly editor: string | null;
}

export interface MessageReacted {
  /** Null takes all reactions of this actor back. */
  readonly reaction: string | null;
  readonly action: ReactionAction;
  readonly agent: string | null;
}

export interface ReceiptRecorded {
  readonly reason: string | null;
}

export interface ParticipationChanged {
  readonly left: boolean;
}

/** One part of a profile: a field, or a key of its metadata. */
export interface ProfileUpdated {
  readonly part: string;
  readonly displayName: string | null;
  readonly givenName: string | null;
  readonly surname: string | null;
  readonly email: string | null;
  readonly avatarUrl: string | null;
  readonly locale: string | null;
  readonly metadata: string | null;
}

/** Content of the fact that a person is known by an identity. */
export interface IdentityLinked {
  readonly channel: string;
  readonly externalId: string;
}

/** A conversation's title, or a key of its metadata; its kind of content says which. */
export interface ConversationDescribed {
  readonly displayName: string | null;
  readonly metadata: string | null;
  readonly source: string | null;
  readonly externalId: string | null;
}

/** That something was erased, forgotten or cleared. Never holds an alias and a subject id. */
export interface LossRecorded {
  readonly user: string | null;
  readonly conversation: string | null;
  readonly message: string | null;
  /** Days that were forgotten, both included, counted from 1970-01-01. */
  readonly fromDay: number | null;
  readonly toDay: number | null;
}

/** Content by type of event. */
export interface EventContents {
  MessagePosted: MessagePosted;
  MessageEdited: MessageEdited;
  MessageReacted: MessageReacted;
  ReceiptRecorded: ReceiptRecorded;
  ParticipantJoined: ParticipationChanged;
  ParticipantLeft: ParticipationChanged;
  ProfileUpdated: ProfileUpdated;
  IdentityLinked: IdentityLinked;
  ConversationDescribed: ConversationDescribed;
  SubjectErased: LossRecorded;
  ProfileCleared: LossRecorded;
  MessageForgotten: LossRecorded;
  ConversationCleared: LossRecorded;
  ConversationDeleted: LossRecorded;
  DaysForgotten: LossRecorded;
}
/** The type of an event, as its header names it: past tense. */
export type EventType = keyof EventContents;

const participation = recordCodec<ParticipationChanged>('ParticipationChanged');
const loss = recordCodec<LossRecorded>('LossRecorded');

/** The codec of each type's content. */
export const contentCodecs: { readonly [Type in EventType]: RecordCodec<EventContents[Type]> } = {
  MessagePosted: recordCodec('MessagePosted'),
  MessageEdited: recordCodec('MessageEdited'),
  MessageReacted: recordCodec('MessageReacted'),
  ReceiptRecorded: recordCodec('ReceiptRecorded'),
  ParticipantJoined: participation,
  ParticipantLeft: participation,
  ProfileUpdated: recordCodec('ProfileUpdated'),
  IdentityLinked: recordCodec('IdentityLinked'),
  ConversationDescribed: recordCodec('ConversationDescribed'),
  SubjectErased: loss,
  ProfileCleared: loss,
  MessageForgotten: loss,
  ConversationCleared: loss,
  ConversationDeleted: loss,
  DaysForgotten: loss,
};

/** Is this the name of a type that today's code knows? */
export function isEventType(type: string): type is EventType {
  return Object.hasOwn(contentCodecs, type);
}
