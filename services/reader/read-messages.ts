/** Messages as consumers read them: opened, folded, with their authors' names. */

import type { AppId, ConversationId, MessageId, SubjectId } from '../../libs/base/ids.ts';
import { isUnreadable } from '../../libs/base/lethe-error.ts';
import type { MessageEdited, MessagePosted } from '../../libs/conversation/event-types.ts';
import {
  type FoldedMessage,
  foldMessage,
  type MessageChanges,
  mayEdit,
  type Opened,
} from '../../libs/conversation/message-fold.ts';
import { decodeView, openContents } from '../../libs/people/open-content.ts';
import { type Person, readPeople } from '../../libs/people/people.ts';
import type { MessagePage } from '../../libs/views/cache/page-reader.ts';
import { type MessageView, type PageRequest, SHOWN_CHANGES } from '../../libs/views/view-store.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';

/** A message in the shape of the REST interface. */
export interface MessageJson {
  readonly id: string;
  readonly received: string;
  readonly deleted?: true;
  readonly author?: {
    type: string;
    userId?: string;
    displayName?: string;
    subtypes?: readonly string[];
  };
  readonly content?: Record<string, unknown>;
  readonly source?: { type: string; originalMessageId?: string };
  readonly quotedMessage?: Record<string, unknown>;
  readonly metadata?: unknown;
  readonly edited?: true;
  readonly reactions?: readonly { userId?: string; reaction: string }[];
  readonly receipts?: readonly {
    userId?: string;
    status: string;
    time: string;
    reason?: string;
  }[];
}

/**
 * A page of a conversation's messages in ascending order; positions are cursors. `hold` is told how
 * many bytes it is before any of them is opened, and may refuse them.
 */
export async function readMessages(
  powers: ReaderPowers,
  app: AppId,
  query: { conversation: ConversationId; page: PageRequest; hold?: (bytes: number) => void },
): Promise<{ messages: MessageJson[]; views: readonly MessageView[]; isCut: boolean }> {
  const { conversation, hold = () => undefined } = query;
  const at = { app, conversation };
  const page = await powers.pages.page(at, query.page);
  hold(page.bytes);
  const shown = async (of: MessagePage) => {
    const messages = await messagesToJson(powers, app, of);
    return { messages, views: of.messages, isCut: of.isCut };
  };
  try {
    return await shown(page);
  } catch (error) {
    // What lies in a cache proves nothing about what is stored.
    if (!page.isCached || !isUnreadable(error)) throw error;
  }
  return shown(await powers.pages.page(at, query.page, 'views'));
}

/** One message; undefined: not in this conversation. */
export async function readMessage(
  powers: ReaderPowers,
  app: AppId,
  wanted: { conversation: ConversationId; message: MessageId },
): Promise<MessageJson | undefined> {
  const view = await powers.views.message(wanted.message);
  if (view === undefined || view.conversation !== wanted.conversation) return undefined;
  const changes = await powers.views.changes([wanted.message], SHOWN_CHANGES);
  return (await messagesToJson(powers, app, { messages: [view], changes }))[0];
}

/** Opens and folds messages of one conversation. */
export async function messagesToJson(
  powers: ReaderPowers,
  app: AppId,
  page: Pick<MessagePage, 'messages' | 'changes'>,
): Promise<MessageJson[]> {
  const events = [
    ...page.messages.map(({ record, conversation, message }) =>
      decodeView(record, { app, stream: conversation, thing: message }),
    ),
    ...page.changes.map(({ record, message }) => decodeView(record, { app, thing: message })),
  ];
  const opened = await openContents(powers, events);
  const messages = opened.slice(0, page.messages.length) as Opened<MessagePosted>[];
  const changes = changesByMessage(opened.slice(page.messages.length));
  for (const message of messages) {
    const own = changes.get(message.header.thing);
    if (own === undefined || own.edits.length === 0 || own.edits.some(isOf(message))) continue;
    changes.set(message.header.thing, { ...own, edits: await olderEdits(powers, app, message) });
  }
  const folded = messages.map((message) =>
    foldMessage(message, changes.get(message.header.thing) ?? NO_CHANGES),
  );
  const people = await readPeople(powers, app, folded.flatMap(subjectsOf), 'names');
  return folded.map((message, i) =>
    message === undefined ? placeholder(messages[i]!) : messageToJson(message, people),
  );
}

const EDITS_MAX = 8;

/** Does an edit open, and may who wrote it edit this message? */
const isOf =
  ({ header }: Opened<MessagePosted>) =>
  (edit: Opened<MessageEdited>) =>
    edit.content !== undefined && mayEdit(edit.header, header);

/** The newest edits of a message of which the last one counts for nothing. */
async function olderEdits(
  powers: ReaderPowers,
  app: AppId,
  { header }: Opened<MessagePosted>,
): Promise<Opened<MessageEdited>[]> {
  const { thing } = header;
  const changes = await powers.views.changes([thing], { edits: EDITS_MAX, others: 0 });
  const edits = changes.filter(({ kind }) => kind === 'edit');
  const events = edits.map(({ record }) => decodeView(record, { app, thing }));
  return (await openContents(powers, events)) as Opened<MessageEdited>[];
}

const NO_CHANGES: MessageChanges = { edits: [], reactions: [], receipts: [] };

function changesByMessage(opened: readonly Opened<unknown>[]): Map<string, MessageChanges> {
  const lists = {
    MessageEdited: 'edits',
    MessageReacted: 'reactions',
    ReceiptRecorded: 'receipts',
  } as const;
  const byMessage = new Map<string, Record<(typeof lists)[keyof typeof lists], Opened<never>[]>>();
  for (const change of opened) {
    const list = lists[change.header.type as keyof typeof lists];
    const { thing } = change.header;
    if (!byMessage.has(thing)) byMessage.set(thing, { edits: [], reactions: [], receipts: [] });
    byMessage.get(thing)![list].push(change as Opened<never>);
  }
  return byMessage;
}

function authorOf(message: FoldedMessage): SubjectId | null {
  const { header, posted } = message;
  return (header.authorRole === 'business' ? posted.agent : header.owner) as SubjectId | null;
}

function subjectsOf(message: FoldedMessage | undefined): SubjectId[] {
  if (message === undefined) return [];
  const author = authorOf(message);
  const others = [...message.reactions, ...message.receipts].map((one) => one.subject);
  return [author, ...others].filter((id): id is SubjectId => id !== null);
}

/** What is left of a message whose content is gone: that it was there, and when. */
function placeholder({ header }: Opened<MessagePosted>): MessageJson {
  return { id: header.thing, received: toIso(header.occurredAt), deleted: true };
}

function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

function messageToJson(
  message: FoldedMessage,
  people: ReadonlyMap<SubjectId, Person>,
): MessageJson {
  const { header, posted } = message;
  const author = people.get(authorOf(message)!);
  const userId = (subject: string | null) => {
    const person = people.get(subject as SubjectId);
    return person === undefined ? {} : { userId: person.value.alias };
  };
  const subtypes = posted.authorSubtypes;
  return {
    id: header.thing,
    received: toIso(header.occurredAt),
    author: {
      type: header.authorRole ?? 'user',
      ...userId(authorOf(message)),
      ...(author?.displayName && { displayName: author.displayName }),
      ...(subtypes.length > 0 && { subtypes }),
    },
    content: {
      type: message.contentType,
      ...(message.text !== null && { text: message.text }),
      ...(message.rest !== null && JSON.parse(message.rest)),
    },
    ...(posted.source !== null && { source: sourceToJson(posted) }),
    ...(header.replyTo !== null && {
      quotedMessage: { type: 'message', message: { id: header.replyTo } },
    }),
    ...(posted.metadata !== null && { metadata: JSON.parse(posted.metadata) }),
    ...(message.isEdited && { edited: true as const }),
    ...(message.reactions.length > 0 && {
      reactions: message.reactions.map(({ subject, reaction }) => {
        return { ...userId(subject), reaction };
      }),
    }),
    ...(message.receipts.length > 0 && {
      receipts: message.receipts.map(({ subject, status, atMs, reason }) => {
        const why = reason === null ? {} : { reason };
        return { ...userId(subject), status, time: toIso(atMs), ...why };
      }),
    }),
  };
}

/** `/channels/whatsapp/main` is of type whatsapp. */
function sourceToJson(posted: MessagePosted): { type: string; originalMessageId?: string } {
  const type = /^\/channels\/([^/]+)/.exec(posted.source!)?.[1] ?? 'api';
  return { type, ...(posted.externalId !== null && { originalMessageId: posted.externalId }) };
}
