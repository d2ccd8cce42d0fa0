/**
 * The record value: Avro single-object encoding of SealedEvent, written by hand because it is on
 * the hot path (the tests compare it with the schema). The header is encoded once, straight into
 * the output; that slice is the associated data and is never re-encoded.
 *
 *   C3 01 ‖ fingerprint 8 ‖ length ‖ header ‖ nonce 12 ‖ length ‖ ciphertext ‖ tag 16
 */
import type { RecordedAt } from '../base/clock.ts';
import { DAY_MAX, DAY_MS } from '../base/day.ts';
import type { AppId, EventId, OwnerId, PlaceId, StreamId, ThingId } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import { recordCodec, SINGLE_OBJECT } from './avro.ts';
import { AvroReader, AvroWriter } from './avro-binary.ts';

/** Whom an event is about: a person, a group, or the app itself. */
export type OwnerKind = 'person' | 'group' | 'app';

/** The clear part of an event, as `schemas/sealed-event-header` has it. */
export interface EventHeader {
  readonly formatVersion: number;
  readonly eventId: EventId;
  /** 1 for the first copy; raised before each further append of the same event. */
  readonly attempt: number;
  readonly app: AppId;
  readonly type: string;
  readonly stream: StreamId;
  readonly place: PlaceId;
  readonly ownerKind: OwnerKind;
  readonly owner: OwnerId;
  readonly thing: ThingId;
  readonly retentionClass: number;
  /** Milliseconds since 1970. */
  readonly occurredAt: number;
  readonly recordedAt: RecordedAt;
  readonly contentFingerprint: string;
  readonly cipher: number;
  readonly attachments: readonly string[];
  readonly contentKind: string | null;
  readonly authorRole: string | null;
  readonly replyTo: string | null;
  readonly receiptStatus: string | null;
}

/** An event as it lies on the log and in the views. */
export interface SealedEvent {
  readonly header: EventHeader;
  /** The header's bytes as they were written: the associated data. */
  readonly headerBytes: Buffer;
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/** The format of headers that are written; others are FORMAT_UNKNOWN. */
export const HEADER_FORMAT_VERSION = 1;
/** Of numbers in a header, the least and the greatest. */
const RANGES = Object.entries({
  attempt: [1, 0xffff],
  retentionClass: [0, 15],
  occurredAt: [0, (DAY_MAX + 1) * DAY_MS - 1],
  cipher: [0, 0xff],
} as const) as ['attempt' | 'retentionClass' | 'occurredAt' | 'cipher', [number, number]][];
/** Of texts in a header, the longest; they are names of kinds, which lie in keys of the views. */
const TEXT_LENGTH_MAX = 256;
const TEXTS = ['type', 'contentKind', 'authorRole', 'receiptStatus'] as const;
const ATTACHMENTS_MAX = 10_000;
const OWNER_KINDS: readonly OwnerKind[] = ['person', 'group', 'app'];
const headerCodec = recordCodec<EventHeader>('SealedEventHeader');
const headerFingerprint = Buffer.from(headerCodec.fingerprint, 'hex');
const recordFingerprint = Buffer.from(recordCodec('SealedEvent').fingerprint, 'hex');
const PREFIX = Buffer.concat([SINGLE_OBJECT, recordFingerprint]);
const writer = new AvroWriter();

/** The header's bytes: fingerprint ‖ Avro binary. */
export function encodeHeader(header: EventHeader): Buffer {
  writer.start();
  writer.fixed(headerFingerprint);
  writer.long(header.formatVersion);
  writer.hex(header.eventId);
  writer.long(header.attempt);
  writer.hex(header.app);
  writer.string(header.type);
  writer.hex(header.stream);
  writer.hex(header.place);
  writer.long(OWNER_KINDS.indexOf(header.ownerKind));
  writer.hex(header.owner);
  writer.hex(header.thing);
  writer.long(header.retentionClass);
  writer.long(header.occurredAt);
  writer.hex(header.recordedAt);
  writer.hex(header.contentFingerprint);
  writer.long(header.cipher);
  if (header.attachments.length > 0) writer.long(header.attachments.length);
  for (const attachment of header.attachments) writer.hex(attachment);
  writer.long(0);
  writer.optional(header.contentKind, 'string');
  writer.optional(header.authorRole, 'string');
  writer.optional(header.replyTo, 'hex');
  writer.optional(header.receiptStatus, 'string');
  return writer.take();
}

/** The header of its bytes. Throws FORMAT_UNKNOWN. */
export function decodeHeader(bytes: Buffer): EventHeader {
  if (!startsWith(bytes, headerFingerprint)) return known(headerCodec.decodeTagged(bytes));
  const reader = new AvroReader(bytes, 8);
  const header: EventHeader = {
    formatVersion: reader.long(),
    eventId: reader.hex(16) as EventId,
    attempt: reader.long(),
    app: reader.hex(16) as AppId,
    type: reader.string(),
    stream: reader.hex(16) as StreamId,
    place: reader.hex(16) as PlaceId,
    ownerKind: readOwnerKind(reader),
    owner: reader.hex(16) as OwnerId,
    thing: reader.hex(16) as ThingId,
    retentionClass: reader.long(),
    occurredAt: reader.long(),
    recordedAt: reader.hex(8) as RecordedAt,
    contentFingerprint: reader.hex(8),
    cipher: reader.long(),
    attachments: readIds(reader),
    contentKind: reader.optionalString(),
    authorRole: reader.optionalString(),
    replyTo: reader.optionalHex(16),
    receiptStatus: reader.optionalString(),
  };
  reader.end();
  return known(header);
}

/**
 * What a newer version means by a header is not known here. Nor is what numbers and texts mean that
 * no version writes: whoever may write to the log can send them, and nothing must fall over them
 * later.
 */
function known(header: EventHeader): EventHeader {
  if (header.formatVersion !== HEADER_FORMAT_VERSION) {
    const text = `header: format version ${header.formatVersion}: use a newer Lethe`;
    throw new LetheError('FORMAT_UNKNOWN', text);
  }
  for (const [name, [least, most]] of RANGES) {
    const value = header[name];
    if (Number.isSafeInteger(value) && value >= least && value <= most) continue;
    throw new LetheError('FORMAT_UNKNOWN', `header: ${name} is outside of what it can be`);
  }
  for (const name of TEXTS) {
    if ((header[name]?.length ?? 0) <= TEXT_LENGTH_MAX) continue;
    throw new LetheError('FORMAT_UNKNOWN', `header: ${name} is longer than it can be`);
  }
  if (header.attachments.length > ATTACHMENTS_MAX) {
    throw new LetheError('FORMAT_UNKNOWN', 'header: it names more attachments than there can be');
  }
  return header;
}

function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  for (let i = 0; i < prefix.length; i += 1) if (bytes[i] !== prefix[i]) return false;
  return true;
}

function readOwnerKind(reader: AvroReader): OwnerKind {
  const kind = OWNER_KINDS[reader.long()];
  if (kind === undefined) throw new LetheError('FORMAT_UNKNOWN', 'header: unknown kind of owner');
  return kind;
}

function readIds(reader: AvroReader): string[] {
  const ids: string[] = [];
  for (let count = reader.long(); count > 0; count = reader.long()) {
    for (let i = 0; i < count; i += 1) ids.push(reader.hex(16));
  }
  return ids;
}

/** The record value of a sealed event. */
export function encodeSealedEvent(parts: {
  headerBytes: Buffer;
  nonce: Buffer;
  ciphertext: Buffer;
  tag: Buffer;
}): Buffer {
  writer.start();
  writer.fixed(PREFIX);
  writer.bytes(parts.headerBytes);
  writer.fixed(parts.nonce);
  writer.bytes(parts.ciphertext);
  writer.fixed(parts.tag);
  return writer.take();
}

/** The sealed event of a record value. Throws FORMAT_UNKNOWN when it is not one. */
export function decodeSealedEvent(value: Buffer): SealedEvent {
  if (!startsWith(value, PREFIX)) {
    throw new LetheError('FORMAT_UNKNOWN', 'record value: unknown marker or schema');
  }
  const reader = new AvroReader(value, PREFIX.length);
  const headerBytes = reader.bytes();
  const nonce = reader.fixed(12);
  const ciphertext = reader.bytes();
  const tag = reader.fixed(16);
  reader.end();
  return { header: decodeHeader(headerBytes), headerBytes, nonce, ciphertext, tag };
}
