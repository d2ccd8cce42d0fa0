/** CloudEvents as the OpenAPI document has them. Each is judged by itself, and not by these. */
import { type TProperties, type TSchema, Type } from 'typebox';
import { reactionActions, receiptStatuses } from '../conversation/delivery.ts';

const text = Type.String();
const optional = <Schema extends TSchema>(schema: Schema) => Type.Optional(schema);
const object = (properties: TProperties) => Type.Object(properties);

const Identity = object({ channel: text, externalId: text });
const Conversation = object({
  type: Type.Enum(['personal', 'sdkGroup']),
  externalId: optional(Type.String({ description: 'a group is known by it' })),
});
const Person = object({
  type: Type.Literal('user'),
  identity: Identity,
  displayName: optional(text),
});
const Business = object({
  type: Type.Literal('business'),
  userId: optional(text),
  displayName: optional(text),
  subtypes: optional(Type.Array(text)),
});
const Author = Type.Union([Person, Business]);
const Content = Type.Object({ type: text, text: optional(text) }, { additionalProperties: true });
const Anything = Type.Object({}, { additionalProperties: true });
const Named = object({ externalId: text });
const about = { conversation: Conversation, message: Named };
const said = {
  conversation: Conversation,
  content: Content,
  quoted: optional(Named),
  metadata: optional(Anything),
};

/** What each type of event carries. */
const DATA: Readonly<Record<string, TSchema>> = {
  'lethe.message.received': object({ ...said, author: Person }),
  'lethe.message.sent': object({
    ...said,
    author: Business,
    recipients: optional(Type.Array(object({ identity: Identity }))),
    purpose: optional(text),
  }),
  'lethe.message.edited': object({ ...about, author: Author, content: Content }),
  'lethe.message.removed': object({ ...about, author: Author }),
  'lethe.message.reacted': object({
    ...about,
    author: Author,
    reaction: text,
    action: optional(Type.Enum([...reactionActions])),
  }),
  'lethe.receipt.recorded': object({
    conversation: optional(Conversation),
    message: Named,
    identity: Identity,
    status: Type.Enum([...receiptStatuses]),
    reason: optional(text),
  }),
  'lethe.profile.updated': object({
    identity: Identity,
    profile: optional(Anything),
    metadata: optional(Anything),
  }),
  'lethe.participant.joined': object({ conversation: Conversation, identity: Identity }),
  'lethe.participant.left': object({ conversation: Conversation, identity: Identity }),
};

const Event = Type.Union(
  Object.entries(DATA).map(([type, data]) =>
    object({
      specversion: Type.Literal('1.0'),
      type: Type.Literal(type),
      source: Type.String({ description: '/channels/<channel>/<integration>' }),
      id: Type.String({ description: "the channel's id, unique within source" }),
      time: Type.String({ format: 'date-time' }),
      data,
    }),
  ),
);

/** One event, or a batch. */
export const EventsBody = Type.Unsafe<unknown>(Type.Union([Event, Type.Array(Event)]));
