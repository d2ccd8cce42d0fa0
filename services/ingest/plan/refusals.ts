/**
 * Why a delivery is refused: who may do what to whose words. Judged before anybody is made for it,
 * so that what is refused leaves nothing behind. Pure.
 */
import type { Delivery, DeliveryBody } from '../../../libs/conversation/delivery.ts';
import { METADATA_JSON_MAX, METADATA_KEYS_MAX } from '../../../libs/conversation/field-fold.ts';
import { type KnownMessage, type Refusal, rejected } from './ingest-item.ts';
import { fits } from './plan-parts.ts';
import type { KnownConversation, Resolver } from './resolver.ts';

/** What a judgement may look at. */
export interface Judged {
  readonly resolver: Resolver;
  readonly conversation: KnownConversation | undefined;
  /** The message that the delivery is about, as the ledger or the views know it. */
  readonly target: KnownMessage | undefined;
  readonly isGone: boolean;
  /** Whether the views have the message could not be told. */
  readonly isUntold: boolean;
  /** It names a conversation that nobody knows, and a message of another one. */
  readonly isElsewhere: boolean;
}

/** The same source has sent something else under this id before. */
export const ID_TAKEN = rejected(
  'id_taken',
  'this source has sent something else under this id: ids must be unique for each source',
);
/** With what is there already, it would be more than anybody reads. */
export const TOO_MUCH_METADATA = rejected(
  'metadata_too_large',
  `metadata has at most ${METADATA_JSON_MAX} characters, and ${METADATA_KEYS_MAX} keys ever`,
);
const UNKNOWN_MESSAGE = rejected(
  'message_unknown',
  'the message that this is about is not known: send it first, then again',
  true,
);
const UNKNOWN_CONVERSATION = rejected(
  'conversation_not_found',
  'there is no such conversation to leave',
);
const OTHERS_CONVERSATION = rejected(
  'conversation_mismatch',
  'this conversation is another person’s, of another type, or not the one of the message',
);
const OTHERS_MESSAGE = rejected(
  'not_the_author',
  'a person can edit and remove their own messages only',
);

/** Why a delivery is refused; undefined: it is not. People whom nobody knows are not made. */
export function refusalOf({ body }: Delivery, judged: Judged): Refusal | undefined {
  if (body.kind === 'left') return judged.conversation ? undefined : UNKNOWN_CONVERSATION;
  if (!('message' in body)) return undefined;
  if (judged.isGone) return { status: 'erased' };
  const { conversation, target, resolver } = judged;
  if (body.kind === 'removed') {
    // Nobody says whose conversation it is: whether it is old or has not come cannot be told.
    const isLost = target === undefined && conversation === undefined && actorOf(body) === null;
    if (isLost && body.conversation.type === 'personal') return UNKNOWN_MESSAGE;
    // It may be there: who waits for it to come would wait for ever.
    if (target === undefined && judged.isUntold) return UNKNOWN_MESSAGE;
    // Whoever wrote a message decides about it, wherever they say that it lies.
    return mayChange(body, judged) ? undefined : OTHERS_MESSAGE;
  }
  if (conversation === undefined) return UNKNOWN_MESSAGE;
  const identity = actorOf(body);
  const actor = identity && resolver.person(identity)?.id;
  const type = body.conversation?.type ?? conversation.value.kind;
  const isOther =
    judged.isElsewhere || (target !== undefined && target.conversation !== conversation.id);
  if (isOther || !fits(conversation, type, identity === null ? undefined : (actor ?? 'nobody'))) {
    return OTHERS_CONVERSATION;
  }
  if (body.kind !== 'edited') return undefined;
  // An edit of an unknown message could give one's words to another.
  if (target === undefined) return UNKNOWN_MESSAGE;
  return mayChange(body, judged) ? undefined : OTHERS_MESSAGE;
}

/** The business may, and so may who wrote it. Of what has not come it is judged when it comes. */
function mayChange(body: DeliveryBody, { target, resolver }: Judged): boolean {
  const identity = actorOf(body);
  if (identity === null || target === undefined) return true;
  return target.authorRole === 'user' && target.owner === resolver.person(identity)?.id;
}

/** The person who acts; null: the business does. */
function actorOf(body: DeliveryBody) {
  if ('identity' in body) return body.identity;
  return body.author.type === 'user' ? body.author.identity : null;
}
