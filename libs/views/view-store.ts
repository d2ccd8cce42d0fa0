/**
 * Port: the views. They hold sealed records and random ids, never plaintext or keys. A generation
 * is a whole set of views; a rebuild fills a new one beside the one that serves, and switches.
 *
 * Failures of every method: VIEWS_UNREACHABLE (retryable), STORE_FULL.
 */
import type { AppId, ConversationId, MessageId, SubjectId } from '../base/ids.ts';
import type { Position, ViewChange } from '../conversation/view-changes.ts';

/** What the views know of a conversation beside its messages. */
export interface ConversationView {
  readonly id: ConversationId;
  readonly app: AppId;
  /** Of its newest message, description, or change of who takes part: lists are ordered by it. */
  readonly lastPosition: Position;
  readonly lastMessage: MessageId | null;
}

/** A message, sealed. */
export interface MessageView {
  readonly conversation: ConversationId;
  readonly message: MessageId;
  readonly position: Position;
  /** The sealed record as it lies on the log. */
  readonly record: Buffer;
}

/** An edit, a reaction or a receipt, sealed. */
export interface ChangeView {
  readonly message: MessageId;
  readonly kind: string;
  readonly position: Position;
  readonly record: Buffer;
}

/** Who takes part, or took part. */
export interface ParticipantView {
  readonly subject: SubjectId;
  /** Position of the first event that made them a participant. */
  readonly since: Position;
  readonly left: boolean;
}

/** A person who is known by an identity. */
export interface PersonView {
  readonly subject: SubjectId;
  /** Position of their first identity: lists are ordered by it. */
  readonly since: Position;
}

/** A fact about a person or a conversation, sealed. */
export interface FactView {
  readonly kind: string;
  readonly key: string;
  readonly position: Position;
  readonly record: Buffer;
}

/** A page of positions: the newest before, or the oldest after, one; or the newest of all. */
export interface PageRequest {
  readonly before?: string;
  readonly after?: string;
  readonly limit: number;
  /** The page ends with the record that reaches so many bytes of them. */
  readonly bytesMax?: number;
}

/** A page of a list, newest first: the newest of all, or those before a position. */
export interface ListPage {
  readonly before?: string;
  readonly limit: number;
}

/** What the projector may do. */
export interface ViewWriter {
  generation(): Promise<number>;
  /**
   * The key that records of this store are known by, as who has the vault has told it; undefined:
   * nobody has yet. It opens nothing.
   */
  recordKey(): Promise<Buffer | undefined>;
  /** Applies upserts, durably and together. False: that generation is gone; begin anew. */
  apply(generation: number, changes: readonly ViewChange[]): Promise<boolean>;
}

/** What a rebuild may do beside that. */
export interface ViewRebuilder extends ViewWriter {
  /** Makes an empty generation; what an unfinished rebuild left is removed first. */
  beginGeneration(): Promise<number>;
  /** Lets the generation serve and removes the others. False: it is gone, nothing changed. */
  switchTo(generation: number): Promise<boolean>;
}

/** How many changes of a message are wanted. */
export interface NewestChanges {
  readonly edits: number;
  /** Reactions, and receipts. Without it all of them. */
  readonly others?: number;
  /** What is read ends, somewhere, with the record that reaches so many bytes of them. */
  readonly bytesMax?: number;
}

/** Ends at the record with which so many bytes are reached; without a bound, nowhere. */
export function untilBytes(bytesMax = Number.POSITIVE_INFINITY) {
  let bytes = 0;
  return ({ record }: { readonly record: Uint8Array }): boolean => {
    bytes += record.length;
    return bytes >= bytesMax;
  };
}

/** What pages show of a message, whatever was written. */
export const SHOWN_CHANGES: NewestChanges = { edits: 1, others: 500 };

/** What readers may do. */
export interface ViewReader {
  /** The generation that serves. */
  generation(): Promise<number>;
  conversation(id: string): Promise<ConversationView | undefined>;
  /**
   * Of a conversation; another one after whatever was written to its messages and their changes.
   * What is read after it was told holds all that was written under it. Undefined: not known.
   */
  version(conversation: string): Promise<string | undefined>;
  /** Messages in ascending order of position. */
  messages(conversation: string, page: PageRequest): Promise<MessageView[]>;
  message(id: string): Promise<MessageView | undefined>;
  /** The conversation's messages whose keys hang on a thing's leaf; itself, if it is one. */
  messagesOnLeaf(conversation: string, thing: string): Promise<MessageId[]>;
  /** Ids of all messages of a conversation, in no promised order. */
  messageIds(conversation: string): Promise<MessageId[]>;
  /**
   * The newest changes of each message, at most so many of a kind, in ascending order of position.
   * What an edit replaced is kept, and never read where nobody asks for it.
   */
  changes(messages: readonly string[], newest: NewestChanges): Promise<ChangeView[]>;
  participants(conversation: string): Promise<ParticipantView[]>;
  /** A person's conversations, but for groups that they have left. */
  conversationsOf(subject: string, page: ListPage): Promise<ConversationView[]>;
  /** Ids of all that a person takes or took part in, in no promised order. */
  conversationIdsOf(subject: string): Promise<ConversationId[]>;
  /** An app's conversations. */
  inbox(app: string, page: ListPage): Promise<ConversationView[]>;
  /** An app's people. */
  people(app: string, page: ListPage): Promise<PersonView[]>;
  facts(stream: string): Promise<FactView[]>;
  /** Records of all messages, changes and facts, for self-checks. */
  scanRecords(): AsyncIterable<Buffer>;
}

/** All that an adapter offers. */
export interface ViewStore extends ViewRebuilder, ViewReader {
  /** Tells the projector the key that records of this store are known by. Can be repeated. */
  tellRecordKey(key: Buffer): Promise<void>;
}
