/**
 * Branded identifiers. Every id is 16 bytes, held as 32 lower-case hex digits; a bare string is
 * never an id. Ids that lie in a bucket of the vault carry its number in their first two bytes.
 */

declare const brand: unique symbol;
type Brand<Name extends string> = string & { readonly [brand]: Name };

/** A tenant. */
export type AppId = Brand<'AppId'>;
/** A person whose data is held. It never leaves the store: consumers see an alias. */
export type SubjectId = Brand<'SubjectId'>;
/** A conversation; the same through clears. Also names a group as an owner. */
export type ConversationId = Brand<'ConversationId'>;
/** Where events lie: messages, a profile, a record. A clear replaces it. */
export type PlaceId = Brand<'PlaceId'>;
/** One fact on the log. */
export type EventId = Brand<'EventId'>;
/** A message's id is also its thing's id. */
export type MessageId = Brand<'MessageId'>;
/** What is forgotten as one: a message with what belongs to it, else the event itself. */
export type ThingId = MessageId | EventId;
/** What a partition of the log is chosen by: a conversation, a subject or an app. */
export type StreamId = ConversationId | SubjectId | AppId;
/** Who an event is about: a person, a group (named by its conversation) or the app itself. */
export type OwnerId = SubjectId | ConversationId | AppId;
/** The name of a subject outside the store: what the REST interface calls a user id. */
export type Alias = Brand<'Alias'>;
/** Names one wrapping key of the vault; says nothing about it. */
export type KeyId = Brand<'KeyId'>;
/** A stored part of a large ring. */
export type SegmentId = Brand<'SegmentId'>;
/** Names a loss of key material: an erasure, a forget, a merge, the end of a hold, a turn. */
export type LossId = Brand<'LossId'>;
/** Names a request: what people are told of it. */
export type RequestId = Brand<'RequestId'>;
/** Names a legal hold; it lies in the bucket of the person it is about. */
export type HoldId = Brand<'HoldId'>;
/** First 16 bytes of an HMAC that names a directory row or a delivery. */
export type IndexId = Brand<'IndexId'>;
/** Names the row that ties a person to a group. */
export type MemberId = Brand<'MemberId'>;
/** An id of any kind that carries a bucket. */
export type AnyId =
  | ThingId
  | StreamId
  | OwnerId
  | PlaceId
  | Alias
  | KeyId
  | SegmentId
  | LossId
  | RequestId
  | HoldId
  | IndexId
  | MemberId;

const ID_PATTERN = /^[0-9a-f]{32}$/;

/** The id of 16 zero bytes: "no id" in fixed-width records. */
export const NO_ID = '0'.repeat(32);

/** Is this text shaped like an id (32 lower-case hex digits)? */
export function isId(text: string): boolean {
  return ID_PATTERN.test(text);
}

/** The text as an id of the wanted kind, or undefined when it is not shaped like one. */
export function textToId<Id extends AnyId>(text: string): Id | undefined {
  return isId(text) ? (text as Id) : undefined;
}

/** 16 bytes as an id of the wanted kind. */
export function bytesToId<Id extends AnyId>(bytes: Uint8Array): Id {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex') as Id;
}

/** The 16 bytes of an id. */
export function idToBytes(id: AnyId): Buffer {
  return Buffer.from(id, 'hex');
}

/** The bucket number that an id carries, before it is reduced to the app's number of buckets. */
export function idToBucket(id: AnyId): number {
  return Number.parseInt(id.slice(0, 4), 16);
}
