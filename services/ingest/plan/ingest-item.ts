/** What ingest accepts, what it plans to write, and what it answers. */
import type {
  ConversationId,
  EventId,
  IndexId,
  MessageId,
  OwnerId,
  PlaceId,
  StreamId,
  SubjectId,
} from '../../../libs/base/ids.ts';
import type { OwnerKind } from '../../../libs/codec/sealed-event.ts';
import type {
  Content,
  Delivery,
  Identity,
  ProfileFields,
} from '../../../libs/conversation/delivery.ts';
import type { EventType } from '../../../libs/conversation/event-types.ts';
import type { DeliveryEntry } from '../../../libs/deliveries/delivery-ledger.ts';
import type { LogPosition } from '../../../libs/event-log/event-log.ts';
import type { KeyedHeader } from '../../../libs/keyring/event-sealer.ts';

/** A message that a client of the REST interface posts. */
export interface PostedMessage {
  readonly kind: 'post';
  readonly occurredAtMs: number;
  readonly conversation: ConversationId;
  readonly author:
    | { readonly type: 'user'; readonly subject: SubjectId }
    | {
        readonly type: 'business';
        readonly userId: string | null;
        readonly displayName: string | null;
        readonly subtypes: readonly string[];
      };
  readonly content: Content;
  readonly quotedMessage: MessageId | null;
  readonly metadata: string | null;
}

/** Fields of a profile to set, and keys of its metadata; null removes one. */
export interface ProfileCommand {
  readonly kind: 'profile';
  readonly subject: SubjectId;
  readonly profile: Partial<ProfileFields>;
  /** JSON of an object. */
  readonly metadata: string;
}

/** A conversation's title to set, and keys of its metadata; null removes one. */
export interface DescriptionCommand {
  readonly kind: 'describe';
  readonly conversation: ConversationId;
  /** Undefined: it stays as it is. */
  readonly displayName: string | null | undefined;
  /** JSON of an object. */
  readonly metadata: string;
}

/** Somebody joins or leaves a group. */
export interface ParticipationCommand {
  readonly kind: 'joined' | 'left';
  readonly conversation: ConversationId;
  readonly subject: SubjectId;
}

/** Somebody has read a conversation up to a message. */
export interface ReadCommand {
  readonly kind: 'read';
  readonly conversation: ConversationId;
  readonly subject: SubjectId;
  readonly message: MessageId;
}

/** An identity's event for a person that was just made. */
export interface IdentityCommand {
  readonly kind: 'identity';
  readonly subject: SubjectId;
  readonly identity: Identity;
}

/** What the REST interface asks for, in ids of the store. */
export type Command =
  | PostedMessage
  | ProfileCommand
  | DescriptionCommand
  | ParticipationCommand
  | ReadCommand
  | IdentityCommand;

/** A delivery of a channel, or a command. */
export type IngestItem = ({ readonly kind: 'delivery'; readonly delivery: Delivery } | Command) & {
  /** The `traceparent` of the request that brought it. */
  readonly trace?: string;
};

/** How many people an item names, each of whom may be new. */
export function namesIn(item: IngestItem): number {
  if (item.kind !== 'delivery' || item.delivery.body.kind !== 'message') return 1;
  return 1 + item.delivery.body.recipients.length;
}

/** Why an item was refused; texts hold nothing of the input. */
export interface Rejection {
  readonly code: string;
  readonly title: string;
  readonly retryable: boolean;
}

/** The truth about one item, once it is durable. */
export type Outcome =
  | {
      readonly status: 'accepted';
      readonly eventId: string;
      readonly positions: LogPosition[];
      /** Of the events that it became: an answer that repeats them is kept under these. */
      readonly headers: readonly KeyedHeader[];
    }
  | { readonly status: 'duplicate'; readonly eventId: string }
  | { readonly status: 'erased' }
  | { readonly status: 'rejected'; readonly error: Rejection };

/** Names under which ids are derived with the place's id key. */
export interface EventName {
  readonly source: string;
  readonly id: string;
  readonly actor: SubjectId | null;
}

export interface MessageName {
  readonly source: string;
  readonly externalId: string;
}

/** A kind of content whose name must not lie in clear: it is hashed under the place's id key. */
export interface HiddenKind {
  readonly kind: string;
  readonly name: string;
}

/** An event before its rings are opened. */
export interface EventDraft {
  readonly type: EventType;
  readonly stream: StreamId;
  readonly ownerKind: OwnerKind;
  readonly owner: OwnerId;
  readonly place: PlaceId;
  readonly id: EventName | EventId;
  /** `self`: the event is its own thing. */
  readonly thing: MessageName | MessageId | 'self';
  readonly retentionClass: number;
  readonly occurredAtMs: number;
  readonly content: Buffer;
  readonly contentKind: string | HiddenKind | null;
  readonly authorRole: string | null;
  readonly replyTo: MessageName | MessageId | null;
  readonly receiptStatus: string | null;
}

/** A display name that a channel sent: it becomes a profile event only when it changed. */
export interface NameDraft {
  readonly subject: SubjectId;
  readonly name: string;
  readonly channel: string;
}

/** An identity of a person that no event on the log tells of yet. */
export interface Announcement extends Identity {
  readonly subject: SubjectId;
  readonly row: IndexId;
}

/** What an item comes to: events, and what the directory has to remember once they are durable. */
export interface Plan {
  /** The first draft is the item's own event. */
  readonly drafts: readonly EventDraft[];
  readonly names: readonly NameDraft[];
  readonly announcements: readonly Announcement[];
  /** What the item's own event is a fact about: a conversation, or (profiles) a person. */
  readonly stream: StreamId;
  /** Who joins a group with it, writes in it, or is written to there. */
  readonly members?: readonly { readonly group: ConversationId; readonly person: SubjectId }[];
  /** A message to be forgotten: privacy carries it out. `waits`: it has not come yet. */
  readonly removal?: KnownMessage | 'waits';
}

/** Whose a message is, who wrote it, where it lies and which thing it is. */
export interface KnownMessage
  extends Pick<DeliveryEntry, 'owner' | 'ownerKind' | 'authorRole' | 'place' | 'thing' | 'state'> {
  readonly conversation: ConversationId;
  readonly eventId: EventId;
}

/** Why an item is not taken in. */
export type Refusal = Outcome;

/** A plan, a refusal, or `later`: it depends on an item of the same batch. */
export type Planned = Plan | Refusal | 'later';

/** A refusal of one item: a code for programs, a title for people. */
export function rejected(code: string, title: string, retryable = false): Refusal {
  return { status: 'rejected', error: { code, title, retryable } };
}
