/** What routes answer, for the OpenAPI document. Answers are written as they are, not by these. */
import { type TProperties, type TSchema, Type } from 'typebox';
import { receiptStatuses } from '../conversation/delivery.ts';

const answer = (properties: TProperties) => Type.Unsafe<unknown>(Type.Object(properties));
const id = Type.String({ pattern: '^[0-9a-f]{32}$' });
const time = Type.String({ format: 'date-time' });
const anything = Type.Object({}, { additionalProperties: true });
const optional = <Schema extends TSchema>(schema: Schema) => Type.Optional(schema);

const Meta = Type.Object({
  hasMore: Type.Boolean(),
  afterCursor: optional(Type.String()),
  beforeCursor: optional(Type.String()),
});
const Links = Type.Object({});
const pageOf = (name: string, item: TSchema) =>
  answer({ [name]: Type.Array(item), meta: Meta, links: Links });

const User = Type.Object({
  id,
  externalId: optional(Type.String()),
  displayName: optional(Type.String({ description: 'As messages call them' })),
  signedUpAt: time,
  profile: Type.Record(Type.String(), Type.String()),
  metadata: anything,
  identities: Type.Array(Type.Object({ type: Type.String(), value: Type.String() })),
});
const Conversation = Type.Object({
  id,
  type: Type.Enum(['personal', 'sdkGroup']),
  isDefault: Type.Boolean(),
  displayName: optional(Type.String()),
  metadata: optional(anything),
  createdAt: time,
  lastUpdatedAt: optional(time),
});
const Participant = Type.Object({ id, userId: id });
const Author = Type.Object({
  type: Type.Enum(['user', 'business']),
  userId: optional(Type.String()),
  displayName: optional(Type.String()),
  subtypes: optional(Type.Array(Type.String())),
});
const Content = Type.Object({ type: Type.String() }, { additionalProperties: true });
const Message = Type.Object({
  id,
  received: time,
  deleted: optional(Type.Boolean({ description: 'true: a placeholder, and nothing else of it' })),
  author: optional(Author),
  content: optional(Content),
  source: optional(
    Type.Object({ type: Type.String(), originalMessageId: optional(Type.String()) }),
  ),
  quotedMessage: optional(anything),
  metadata: optional(anything),
  edited: optional(Type.Boolean()),
  reactions: optional(Type.Array(Type.Object({ userId: optional(id), reaction: Type.String() }))),
  receipts: optional(
    Type.Array(
      Type.Object({
        userId: optional(id),
        status: Type.Enum([...receiptStatuses]),
        time,
        reason: optional(Type.String()),
      }),
    ),
  ),
});
const App = Type.Object({
  id,
  displayName: Type.String(),
  createdAt: time,
  settings: Type.Object({ spellingRules: Type.Record(Type.String(), Type.String()) }),
});

export const answers = {
  user: answer({ user: User }),
  users: pageOf('users', User),
  conversation: answer({ conversation: Conversation }),
  conversations: pageOf('conversations', Conversation),
  participant: answer({ participant: Participant }),
  participants: pageOf('participants', Participant),
  message: answer({ message: Message }),
  messages: pageOf('messages', Message),
  posted: answer({
    messages: Type.Array(
      Type.Object({
        id,
        received: time,
        author: Author,
        content: Content,
        metadata: optional(anything),
      }),
    ),
  }),
  app: answer({ app: App }),
  apps: answer({ apps: Type.Array(App) }),
  nothing: answer({}),
  erased: answer({
    certificate: optional(
      Type.Object({ id: Type.String(), salt: Type.Union([Type.String(), Type.Null()]) }),
    ),
  }),
} as const;

/** Server-sent events, as the document of an endless answer. */
export const StreamAnswer = {
  description: 'Server-sent events, without an end',
  content: { 'text/event-stream': { schema: Type.String() } },
};
