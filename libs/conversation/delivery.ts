/** What a channel delivers, after validation: the bulk form in plain types. */

/** A channel-side name of a person. */
export interface Identity {
  readonly channel: string;
  readonly externalId: string;
}

/** How a delivery names its conversation: a person's own or a group, by the channel's id. */
export interface ConversationReference {
  readonly type: 'personal' | 'sdkGroup';
  readonly externalId: string | null;
}

/** Who says something: a person by an identity, or the business. */
export type Author =
  | { readonly type: 'user'; readonly identity: Identity; readonly displayName: string | null }
  | {
      readonly type: 'business';
      readonly userId: string | null;
      readonly displayName: string | null;
      readonly subtypes: readonly string[];
    };

/** A content object: its type, its text if it has one, and the rest as JSON. */
export interface Content {
  readonly type: string;
  readonly text: string | null;
  readonly rest: string | null;
}

/** The fields of a profile; null: there is none. */
export interface ProfileFields {
  readonly displayName: string | null;
  readonly givenName: string | null;
  readonly surname: string | null;
  readonly email: string | null;
  readonly avatarUrl: string | null;
  readonly locale: string | null;
}

/** What a channel may say became of a message at one recipient. */
export const receiptStatuses = ['sent', 'delivered', 'read', 'played', 'failed'] as const;
export type ReceiptStatus = (typeof receiptStatuses)[number];

/** A message, received or sent. */
export interface MessageDelivery {
  readonly kind: 'message';
  readonly direction: 'received' | 'sent';
  readonly conversation: ConversationReference;
  readonly author: Author;
  readonly recipients: readonly Identity[];
  readonly content: Content;
  readonly quotedExternalId: string | null;
  readonly metadata: string | null;
  readonly purpose: string | null;
}

/** Another content for a message. */
export interface EditDelivery {
  readonly kind: 'edited';
  readonly conversation: ConversationReference;
  readonly message: string;
  readonly author: Author;
  readonly content: Content;
}

/** A message is to be forgotten. */
export interface RemovalDelivery {
  readonly kind: 'removed';
  readonly conversation: ConversationReference;
  readonly message: string;
  readonly author: Author;
}

/** What a reaction does: `replace` puts it in the place of all others of the same actor. */
export const reactionActions = ['add', 'remove', 'replace'] as const;
export type ReactionAction = (typeof reactionActions)[number];

/** Somebody reacts to a message; null takes all their reactions back. */
export interface ReactionDelivery {
  readonly kind: 'reacted';
  readonly conversation: ConversationReference;
  readonly message: string;
  readonly author: Author;
  readonly reaction: string | null;
  readonly action: ReactionAction;
}

/** What became of a message at one recipient. */
export interface ReceiptDelivery {
  readonly kind: 'receipt';
  readonly conversation: ConversationReference | null;
  readonly message: string;
  readonly identity: Identity;
  readonly status: ReceiptStatus;
  readonly reason: string | null;
}

/** Fields of a person's profile, or metadata. */
export interface ProfileDelivery {
  readonly kind: 'profile';
  readonly identity: Identity;
  /** Those that it gives; null removes one. */
  readonly profile: Partial<ProfileFields>;
  /** JSON of an object: keys that it gives; null removes one. */
  readonly metadata: string;
}

/** Somebody joined a group or left it. */
export interface ParticipationDelivery {
  readonly kind: 'joined' | 'left';
  readonly conversation: ConversationReference;
  readonly identity: Identity;
}

/** What a delivery says, by its kind. */
export type DeliveryBody =
  | MessageDelivery
  | EditDelivery
  | RemovalDelivery
  | ReactionDelivery
  | ReceiptDelivery
  | ProfileDelivery
  | ParticipationDelivery;

/** One validated event of a channel. */
export interface Delivery {
  readonly source: string;
  readonly id: string;
  /** The CloudEvents type. */
  readonly type: string;
  readonly occurredAtMs: number;
  readonly body: DeliveryBody;
}
