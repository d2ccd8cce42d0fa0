/** Plans what a client's command of the REST interface comes to. Pure. */
import type { EventId, MessageId } from '../../../libs/base/ids.ts';
import { contentCodecs } from '../../../libs/conversation/event-types.ts';
import { metadataParts } from '../../../libs/conversation/field-fold.ts';
import { retentionClasses } from '../../../libs/sealing/tree-path.ts';
import {
  type Command,
  type DescriptionCommand,
  type EventDraft,
  type ParticipationCommand,
  type Plan,
  type Planned,
  type PostedMessage,
  type ProfileCommand,
  type ReadCommand,
  rejected,
} from './ingest-item.ts';
import { fieldDrafts, fits, metadataKind, NO_FACTS, ownerOf } from './plan-parts.ts';
import { agentIdentity, type KnownConversation, type Resolver } from './resolver.ts';

/** The source under which the REST interface names its business authors. */
export const REST_SOURCE = '/rest';

/** What a command's plan may look at. */
export interface CommandContext {
  readonly resolver: Resolver;
  readonly conversation: KnownConversation | undefined;
  readonly nowMs: number;
  newEventId(): EventId;
}

const NOTHING_SAID = { displayName: null, metadata: null, source: null, externalId: null };
const NO_CONVERSATION = rejected('conversation_not_found', 'there is no such conversation');
const NO_PARTICIPANT = rejected(
  'not_a_participant',
  'the author takes no part in this conversation',
);
const NO_USER = rejected('user_not_found', 'there is no such user');

/** Plans one command. Identities of new people are written with their profile. */
export function planCommand(command: Command, context: CommandContext): Planned {
  switch (command.kind) {
    case 'post':
      return planPost(command, context);
    case 'profile':
      return planProfile(command, context);
    case 'describe':
      return planDescription(command, context);
    case 'joined':
    case 'left':
      return planParticipation(command, context);
    case 'read':
      return planRead(command, context);
    case 'identity':
      // The announcement of the person's identities is all there is to write.
      return { drafts: [], names: [], announcements: [], stream: command.subject };
  }
}

function planPost(command: PostedMessage, context: CommandContext): Planned {
  const { resolver, conversation } = context;
  if (conversation === undefined) return NO_CONVERSATION;
  const { author, content } = command;
  const writer = author.type === 'user' ? author.subject : undefined;
  const { person } = conversation.value;
  if (writer !== undefined && person !== null && person !== writer) {
    return NO_PARTICIPANT;
  }
  const identity =
    author.type === 'user' ? null : agentIdentity(REST_SOURCE, { ...author, type: 'business' });
  const agent = identity === null ? undefined : resolver.person(identity);
  const id = context.newEventId();
  const draft: EventDraft = {
    ...NO_FACTS,
    ...ownerOf(conversation, writer),
    type: 'MessagePosted',
    stream: conversation.id,
    place: conversation.value.messagePlace,
    id,
    thing: id as string as MessageId,
    retentionClass: retentionClasses.messages,
    occurredAtMs: command.occurredAtMs,
    content: contentCodecs.MessagePosted.encode({
      text: content.text,
      content: content.rest,
      agent: agent?.id ?? null,
      authorSubtypes: author.type === 'business' ? author.subtypes : [],
      quotedExternalId: null,
      metadata: command.metadata,
      purpose: null,
      source: null,
      externalId: null,
    }),
    contentKind: content.type,
    authorRole: author.type,
    replyTo: command.quotedMessage,
  };
  const name = author.type === 'business' ? author.displayName : null;
  const names =
    name === null || agent === undefined
      ? []
      : [{ subject: agent.id, name, channel: identity!.channel }];
  const group = conversation.id;
  const members = writer === undefined || person !== null ? [] : [{ group, person: writer }];
  return { drafts: [draft], names, announcements: [], stream: group, members };
}

function planProfile(command: ProfileCommand, context: CommandContext): Planned {
  const subject = context.resolver.subject(command.subject);
  if (subject === undefined) return NO_USER;
  const fact = () => ({
    subject: subject.id,
    value: subject.value,
    id: context.newEventId(),
    occurredAtMs: context.nowMs,
  });
  return planOf(fieldDrafts(fact, command), subject.id);
}

function planDescription(command: DescriptionCommand, context: CommandContext): Planned {
  const { conversation } = context;
  if (conversation === undefined) return NO_CONVERSATION;
  const draft = (
    contentKind: EventDraft['contentKind'],
    said: { displayName?: string | null; metadata?: string },
  ): EventDraft => ({
    ...NO_FACTS,
    ...ownerOf(conversation, undefined),
    type: 'ConversationDescribed',
    stream: conversation.id,
    place: conversation.value.profilePlace,
    id: context.newEventId(),
    thing: 'self',
    retentionClass: retentionClasses.ageless,
    occurredAtMs: context.nowMs,
    content: contentCodecs.ConversationDescribed.encode({ ...NOTHING_SAID, ...said }),
    contentKind,
  });
  const { displayName, metadata } = command;
  const drafts = [
    ...(displayName === undefined ? [] : [draft('displayName', { displayName })]),
    ...metadataParts(metadata).map(({ key, json }) => draft(metadataKind(key), { metadata: json })),
  ];
  return planOf(drafts, conversation.id);
}

function planParticipation(command: ParticipationCommand, context: CommandContext): Planned {
  const { conversation, resolver } = context;
  if (conversation === undefined) return NO_CONVERSATION;
  if (resolver.subject(command.subject) === undefined) return NO_USER;
  if (conversation.value.kind === 'personal') {
    return rejected('conversation_personal', 'a personal conversation has one person, for good');
  }
  const left = command.kind === 'left';
  const draft: EventDraft = {
    ...NO_FACTS,
    type: left ? 'ParticipantLeft' : 'ParticipantJoined',
    stream: conversation.id,
    ownerKind: 'person',
    owner: command.subject,
    place: conversation.value.profilePlace,
    id: context.newEventId(),
    thing: 'self',
    retentionClass: retentionClasses.ageless,
    occurredAtMs: context.nowMs,
    content: contentCodecs.ParticipantJoined.encode({ left }),
  };
  const plan = planOf([draft], conversation.id);
  const member = { group: conversation.id, person: command.subject };
  return left ? plan : { ...plan, members: [member] };
}

/** One receipt of each reader and message, however often it is told. */
function planRead(command: ReadCommand, context: CommandContext): Planned {
  const { conversation, resolver } = context;
  if (conversation === undefined) return NO_CONVERSATION;
  const { subject, message } = command;
  if (resolver.subject(subject) === undefined) return NO_USER;
  if (!fits(conversation, conversation.value.kind, subject)) return NO_PARTICIPANT;
  const draft: EventDraft = {
    ...NO_FACTS,
    ...ownerOf(conversation, subject),
    type: 'ReceiptRecorded',
    stream: conversation.id,
    place: conversation.value.messagePlace,
    id: { source: REST_SOURCE, id: `read ${message}`, actor: subject },
    thing: message,
    retentionClass: retentionClasses.receipts,
    occurredAtMs: context.nowMs,
    content: contentCodecs.ReceiptRecorded.encode({ reason: null }),
    receiptStatus: 'read',
  };
  return planOf([draft], conversation.id);
}

function planOf(drafts: EventDraft[], stream: Plan['stream']): Plan {
  return { drafts, names: [], announcements: [], stream };
}
