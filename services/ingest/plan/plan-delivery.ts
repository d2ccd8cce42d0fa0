/**
 * Plans what a channel's delivery comes to: whose it is, where it belongs, which events it makes.
 * People and conversations were resolved before; nothing here waits.
 */
import type {
  Author,
  Delivery,
  EditDelivery,
  MessageDelivery,
  ParticipationDelivery,
  ProfileDelivery,
  ReactionDelivery,
  ReceiptDelivery,
} from '../../../libs/conversation/delivery.ts';
import { contentCodecs } from '../../../libs/conversation/event-types.ts';
import { retentionClasses } from '../../../libs/sealing/tree-path.ts';
import {
  type EventDraft,
  type EventName,
  type KnownMessage,
  type NameDraft,
  type Plan,
  type Planned,
  rejected,
} from './ingest-item.ts';
import { fieldDrafts, NO_FACTS, ownerOf } from './plan-parts.ts';
import { agentIdentity, type KnownConversation, type Resolver } from './resolver.ts';

/** What the plan of one delivery may look at. */
export interface PlanContext {
  readonly resolver: Resolver;
  /** The conversation that was found or made for this delivery. */
  readonly conversation: KnownConversation | undefined;
  /** The message that this delivery is about, as the ledger or the views know it. */
  readonly target: KnownMessage | undefined;
}

/** Somebody it is about is being erased: it can be sent again. */
export const GONE = rejected('person_changing', 'the person is being erased: send it again', true);

/** Plans one delivery. */
export function planDelivery(delivery: Delivery, context: PlanContext): Planned {
  const { body } = delivery;
  switch (body.kind) {
    case 'message':
      return planMessage(delivery, body, context);
    case 'edited':
      return planEdit(delivery, body, context);
    case 'removed':
      return planRemoval(context);
    case 'reacted':
      return planReaction(delivery, body, context);
    case 'receipt':
      return planReceipt(delivery, body, context);
    case 'profile':
      return planProfile(delivery, body, context);
    case 'joined':
    case 'left':
      return planParticipation(delivery, body, context);
  }
}

/** The person of a message in a personal conversation, as its delivery names them. */
export function personOf(body: MessageDelivery) {
  if (body.author.type === 'user') return body.author.identity;
  return body.recipients[0] ?? null;
}

function planMessage(delivery: Delivery, body: MessageDelivery, context: PlanContext): Planned {
  const { resolver, conversation } = context;
  if (conversation === undefined) return GONE;
  const person = personOf(body);
  const known = person === null ? undefined : resolver.person(person);
  if (person !== null && known === undefined) return GONE;
  const owner = ownerOf(conversation, body.author.type === 'user' ? known?.id : undefined);
  const agent = agentOf(delivery, body.author, resolver);
  const { source, id, occurredAtMs } = delivery;
  const { content } = body;
  const draft: EventDraft = {
    ...NO_FACTS,
    ...owner,
    type: 'MessagePosted',
    stream: conversation.id,
    place: conversation.value.messagePlace,
    id: { source, id, actor: null },
    thing: { source, externalId: id },
    retentionClass: retentionClasses.messages,
    occurredAtMs,
    content: contentCodecs.MessagePosted.encode({
      text: content.text,
      content: content.rest,
      agent: agent?.id ?? null,
      authorSubtypes: body.author.type === 'business' ? body.author.subtypes : [],
      quotedExternalId: body.quotedExternalId,
      metadata: body.metadata,
      purpose: body.purpose,
      source,
      externalId: id,
    }),
    contentKind: content.type,
    authorRole: body.author.type,
    replyTo: body.quotedExternalId === null ? null : { source, externalId: body.quotedExternalId },
  };
  const names = namesOf(delivery, body.author, resolver);
  const people = [...(body.author.type === 'user' ? [person!] : []), ...body.recipients];
  const members =
    conversation.value.kind === 'personal'
      ? []
      : people.flatMap((identity) => {
          const person = resolver.person(identity)?.id;
          return person === undefined ? [] : [{ group: conversation.id, person }];
        });
  return { drafts: [draft], names, announcements: [], stream: conversation.id, members };
}

function agentOf(delivery: Delivery, author: Author, resolver: Resolver) {
  const identity = agentIdentity(delivery.source, author);
  return identity === null ? undefined : resolver.person(identity);
}

function namesOf(delivery: Delivery, author: Author, resolver: Resolver): NameDraft[] {
  if (author.displayName === null) return [];
  const identity =
    author.type === 'user' ? author.identity : agentIdentity(delivery.source, author);
  const subject = identity === null ? undefined : resolver.person(identity);
  if (subject === undefined) return [];
  return [{ subject: subject.id, name: author.displayName, channel: identity!.channel }];
}

/** Who acts: a person, an agent, or nobody in particular. */
function actorOf(delivery: Delivery, author: Author, resolver: Resolver) {
  return author.type === 'user'
    ? resolver.person(author.identity)
    : agentOf(delivery, author, resolver);
}

function eventName(delivery: Delivery, actor: string | undefined): EventName {
  return { source: delivery.source, id: delivery.id, actor: (actor ?? null) as EventName['actor'] };
}

function planEdit(delivery: Delivery, body: EditDelivery, context: PlanContext): Planned {
  const { resolver, conversation, target } = context;
  if (conversation === undefined) return GONE;
  // What a message says belongs to its owner, whoever edits it.
  const owner = target ?? ownerOf(conversation, undefined);
  const actor = actorOf(delivery, body.author, resolver);
  const { source } = delivery;
  const draft: EventDraft = {
    ...NO_FACTS,
    type: 'MessageEdited',
    stream: conversation.id,
    ownerKind: owner.ownerKind,
    owner: owner.owner,
    place: conversation.value.messagePlace,
    id: eventName(delivery, actor?.id),
    thing: { source, externalId: body.message },
    retentionClass: retentionClasses.messages,
    occurredAtMs: delivery.occurredAtMs,
    content: contentCodecs.MessageEdited.encode({
      text: body.content.text,
      content: body.content.rest,
      editor: actor === undefined || actor.id === owner.owner ? null : actor.id,
    }),
    contentKind: body.content.type,
    authorRole: body.author.type,
  };
  const names = namesOf(delivery, body.author, resolver);
  return { drafts: [draft], names, announcements: [], stream: conversation.id };
}

function planRemoval({ target, resolver }: PlanContext): Planned {
  const removal = target ?? 'waits';
  const stream = target?.conversation ?? resolver.app.id;
  return { drafts: [], names: [], announcements: [], stream, removal };
}

function planReaction(delivery: Delivery, body: ReactionDelivery, context: PlanContext): Planned {
  const { resolver, conversation } = context;
  const actor = actorOf(delivery, body.author, resolver);
  const isPerson = body.author.type === 'user';
  if (conversation === undefined || (isPerson && actor === undefined)) return GONE;
  const draft: EventDraft = {
    ...NO_FACTS,
    ...ownerOf(conversation, isPerson ? actor?.id : undefined),
    type: 'MessageReacted',
    stream: conversation.id,
    place: conversation.value.messagePlace,
    id: eventName(delivery, actor?.id),
    thing: { source: delivery.source, externalId: body.message },
    retentionClass: retentionClasses.messages,
    occurredAtMs: delivery.occurredAtMs,
    content: contentCodecs.MessageReacted.encode({
      reaction: body.reaction,
      action: body.action,
      agent: isPerson ? null : (actor?.id ?? null),
    }),
    authorRole: body.author.type,
  };
  const names = namesOf(delivery, body.author, resolver);
  return { drafts: [draft], names, announcements: [], stream: conversation.id };
}

function planReceipt(delivery: Delivery, body: ReceiptDelivery, context: PlanContext): Planned {
  const { resolver, conversation } = context;
  const reader = resolver.person(body.identity);
  if (conversation === undefined || reader === undefined) return GONE;
  const draft: EventDraft = {
    ...NO_FACTS,
    ...ownerOf(conversation, reader.id),
    type: 'ReceiptRecorded',
    stream: conversation.id,
    place: conversation.value.messagePlace,
    id: eventName(delivery, reader.id),
    thing: { source: delivery.source, externalId: body.message },
    retentionClass: retentionClasses.receipts,
    occurredAtMs: delivery.occurredAtMs,
    content: contentCodecs.ReceiptRecorded.encode({ reason: body.reason }),
    receiptStatus: body.status,
  };
  return { drafts: [draft], names: [], announcements: [], stream: conversation.id };
}

function planProfile(delivery: Delivery, body: ProfileDelivery, context: PlanContext): Planned {
  const subject = context.resolver.person(body.identity);
  if (subject === undefined) return GONE;
  const { source, id, occurredAtMs } = delivery;
  const fact = (part: string) => ({
    subject: subject.id,
    value: subject.value,
    id: { source, id: `${id}\0${part}`, actor: subject.id },
    occurredAtMs,
  });
  return emptyPlanOf(fieldDrafts(fact, body), subject.id);
}

function planParticipation(
  delivery: Delivery,
  body: ParticipationDelivery,
  context: PlanContext,
): Planned {
  const { resolver, conversation } = context;
  const subject = resolver.person(body.identity);
  if (conversation === undefined || subject === undefined) return GONE;
  const draft: EventDraft = {
    ...NO_FACTS,
    type: body.kind === 'left' ? 'ParticipantLeft' : 'ParticipantJoined',
    stream: conversation.id,
    ownerKind: 'person',
    owner: subject.id,
    place: conversation.value.profilePlace,
    id: eventName(delivery, subject.id),
    thing: 'self',
    retentionClass: retentionClasses.ageless,
    occurredAtMs: delivery.occurredAtMs,
    content: contentCodecs.ParticipantJoined.encode({ left: body.kind === 'left' }),
  };
  const plan = emptyPlanOf([draft], conversation.id);
  const isJoin = body.kind === 'joined' && conversation.value.kind === 'sdkGroup';
  const member = { group: conversation.id, person: subject.id };
  return isJoin ? { ...plan, members: [member] } : plan;
}

function emptyPlanOf(drafts: EventDraft[], stream: Plan['stream']): Plan {
  return { drafts, names: [], announcements: [], stream };
}
