/** Folds an opened message with its edits, reactions and receipts into what people read. Pure. */
import type { EventHeader } from '../codec/sealed-event.ts';
import type { ReceiptStatus } from './delivery.ts';
import type {
  MessageEdited,
  MessagePosted,
  MessageReacted,
  ReceiptRecorded,
} from './event-types.ts';

/** An event whose content could be opened; `content` is undefined where it is gone. */
export interface Opened<Content> {
  readonly header: EventHeader;
  readonly content: Content | undefined;
}

export interface Reaction {
  /** Subject id of who reacted; null: the business. */
  readonly subject: string | null;
  readonly reaction: string;
}

export interface Receipt {
  readonly subject: string;
  readonly status: ReceiptStatus;
  readonly atMs: number;
  readonly reason: string | null;
}

/** A message as it is shown; who wrote it is still a subject id. */
export interface FoldedMessage {
  readonly header: EventHeader;
  readonly posted: MessagePosted;
  /** Content after the last edit. */
  readonly contentType: string;
  readonly text: string | null;
  readonly rest: string | null;
  readonly isEdited: boolean;
  readonly reactions: readonly Reaction[];
  readonly receipts: readonly Receipt[];
}

/** What changed a message, in the order of events. */
export interface MessageChanges {
  readonly edits: readonly Opened<MessageEdited>[];
  readonly reactions: readonly Opened<MessageReacted>[];
  readonly receipts: readonly Opened<ReceiptRecorded>[];
}

/** The message as people read it; undefined: a placeholder, because its content is gone. */
export function foldMessage(
  message: Opened<MessagePosted>,
  changes: MessageChanges,
): FoldedMessage | undefined {
  const { header, content: posted } = message;
  if (posted === undefined) return undefined;
  const edits = changes.edits.filter(
    (edit) => edit.content !== undefined && mayEdit(edit.header, header),
  );
  const last = edits.at(-1);
  return {
    header,
    posted,
    contentType: last?.header.contentKind ?? header.contentKind ?? 'text',
    text: last === undefined ? posted.text : last.content!.text,
    rest: last === undefined ? posted.content : last.content!.content,
    isEdited: last !== undefined,
    reactions: foldReactions(changes.reactions),
    receipts: foldReceipts(changes.receipts),
  };
}

/**
 * The business may edit, and so may the person who wrote it. All of a personal conversation belongs
 * to its person: who wrote a message is told by its author's role, not by its owner alone.
 */
export function mayEdit(edit: EventHeader, message: EventHeader): boolean {
  if (edit.owner !== message.owner) return false;
  return edit.authorRole !== 'user' || message.authorRole === 'user';
}

function foldReactions(events: readonly Opened<MessageReacted>[]): Reaction[] {
  let reactions: Reaction[] = [];
  for (const { header, content } of events) {
    if (content === undefined) continue;
    const { reaction, action } = content;
    const subject = header.authorRole === 'user' ? header.owner : content.agent;
    const takesAll = reaction === null || action === 'replace';
    const stays = (one: Reaction) =>
      one.subject !== subject || !(takesAll || one.reaction === reaction);
    reactions = reactions.filter(stays);
    if (reaction !== null && action !== 'remove') reactions.push({ subject, reaction });
  }
  return reactions;
}

function foldReceipts(events: readonly Opened<ReceiptRecorded>[]): Receipt[] {
  return events.flatMap(({ header, content }) => {
    if (content === undefined || header.receiptStatus === null) return [];
    const status = header.receiptStatus as ReceiptStatus;
    const { owner: subject, occurredAt: atMs } = header;
    return [{ subject, status, atMs, reason: content.reason }];
  });
}
