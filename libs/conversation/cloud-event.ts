/** CloudEvents 1.0 JSON to deliveries: the structural and value checks of the bulk form. Pure. */
import { readExactJson } from '../codec/exact-json.ts';
import { sha256 } from '../codec/hash.ts';
import type {
  Author,
  Content,
  ConversationReference,
  Delivery,
  DeliveryBody,
  Identity,
  ProfileFields,
} from './delivery.ts';
import { reactionActions, receiptStatuses } from './delivery.ts';
import { METADATA_JSON_MAX, profileFields } from './field-fold.ts';
import { type FieldProblem, type FieldReader, readFields } from './field-reader.ts';

export const ID_LENGTH_MAX = 512;
export const NAME_LENGTH_MAX = 256;
const LONG_ID_MAX = 65_536;
export const TEXT_LENGTH_MAX = 100_000;
export const CONTENT_JSON_MAX = 100_000;
const CONTENT_TYPES = new Set([
  'text',
  'image',
  'file',
  'location',
  'carousel',
  'list',
  'form',
  'formResponse',
  'template',
]);
/** Characters that each field of a profile has at most. */
const PROFILE_LENGTHS: Readonly<Record<keyof ProfileFields, number>> = {
  displayName: NAME_LENGTH_MAX,
  givenName: NAME_LENGTH_MAX,
  surname: NAME_LENGTH_MAX,
  email: NAME_LENGTH_MAX,
  avatarUrl: 2_048,
  locale: NAME_LENGTH_MAX,
};
const RECIPIENTS_MAX = 1_000;
const DATA_BASE64_MAX = 1_048_576;
const SUBTYPES_MAX = 16;
const REACTION_LENGTH_MAX = 64;
/** Clocks of channels may be ahead of ours: by minutes. */
const AHEAD_MS_MAX = 5 * 60_000;
// RFC 3339 with a zone: a time without one cannot be ordered. A minute may have a leap second.
const DATE = '(\\d{4})-(\\d\\d)-(\\d\\d)';
const TIME = '([01]\\d|2[0-3]):([0-5]\\d:[0-5]\\d|59:60)(\\.\\d{1,9})?';
const ZONE = '([Zz]|[+-]([01]\\d|2[0-3]):[0-5]\\d)';
const TIME_PATTERN = new RegExp(`^${DATE}[Tt]${TIME}${ZONE}$`);

export const deliveryTypes = [
  'lethe.message.received',
  'lethe.message.sent',
  'lethe.message.edited',
  'lethe.message.removed',
  'lethe.message.reacted',
  'lethe.receipt.recorded',
  'lethe.profile.updated',
  'lethe.participant.joined',
  'lethe.participant.left',
] as const;
export type DeliveryType = (typeof deliveryTypes)[number];

/** Validates one CloudEvent; its delivery, or the first problem. `nowMs` bounds its time. */
export function readCloudEvent(
  input: unknown,
  nowMs: number,
): { value: Delivery } | { problem: FieldProblem } {
  return readFields(input, (root) => readDelivery(root, nowMs));
}

function readDelivery(root: FieldReader, nowMs: number): Delivery {
  if (!root.isObject) root.fail('a CloudEvents JSON object');
  root.member('specversion').oneOf(['1.0']);
  const type = root.member('type').oneOf(deliveryTypes);
  const source = root.member('source').text(ID_LENGTH_MAX);
  const id = readLongId(root.member('id'));
  const occurredAtMs = readTime(root.member('time'), nowMs);
  const data = readData(root);
  if (!data.isObject) data.fail('an object');
  return { source, id, type, occurredAtMs, body: readBody(type, data) };
}

/** The data, as it is or as base64 of its JSON (CloudEvents 1.0, JSON format, section 3.1.1). */
function readData(root: FieldReader): FieldReader {
  const encoded = root.member('data_base64');
  if (!encoded.isPresent) return root.member('data');
  const read = readExactJson(Buffer.from(encoded.text(DATA_BASE64_MAX), 'base64'));
  if ('problem' in read) return encoded.fail(`base64 of ${read.problem}`);
  return encoded.as(read.value);
}

function readTime(field: FieldReader, nowMs: number): number {
  const ms = timeMs(field.text(64));
  if (Number.isNaN(ms)) field.fail('an RFC 3339 time with a zone, as in 2026-01-31T12:00:00Z');
  if (ms < 0) field.fail('a time from 1970-01-01T00:00:00Z on');
  if (ms > nowMs + AHEAD_MS_MAX)
    field.fail('a time at most 5 minutes ahead: check the clock of who sends it');
  return ms;
}

/** Milliseconds of an RFC 3339 time; NaN: it is none. A leap second counts as the one before it. */
function timeMs(text: string): number {
  const [, year, month, day] = TIME_PATTERN.exec(text) ?? [];
  const isDay = year !== undefined && Number(day) <= daysIn(Number(year), Number(month));
  return isDay ? Date.parse(text.replace(/:60(?=[.Zz+-])/, ':59')) : Number.NaN;
}

function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

function readBody(type: DeliveryType, data: FieldReader): DeliveryBody {
  switch (type) {
    case 'lethe.message.received':
    case 'lethe.message.sent':
      return readMessage(type === 'lethe.message.sent' ? 'sent' : 'received', data);
    case 'lethe.message.edited': {
      const author = readAuthor(data.member('author'));
      const content = readContent(data.member('content'));
      return { kind: 'edited', ...readTarget(data), author, content };
    }
    case 'lethe.message.removed':
      return { kind: 'removed', ...readTarget(data), author: readAuthor(data.member('author')) };
    case 'lethe.message.reacted': {
      const author = readAuthor(data.member('author'));
      const reaction = data.member('reaction').optionalText(REACTION_LENGTH_MAX) || null;
      const given = data.member('action');
      const said = given.isPresent ? given.oneOf(reactionActions) : undefined;
      if (reaction === null && said === 'add') given.fail('a reaction to add');
      // An empty one takes all back, however it is put.
      const action = reaction === null ? 'add' : (said ?? 'add');
      return { kind: 'reacted', ...readTarget(data), author, reaction, action };
    }
    case 'lethe.receipt.recorded':
      return readReceipt(data);
    case 'lethe.profile.updated':
      return readProfile(data);
    case 'lethe.participant.joined':
    case 'lethe.participant.left':
      return {
        kind: type === 'lethe.participant.left' ? 'left' : 'joined',
        conversation: readConversation(data.member('conversation')),
        identity: readIdentity(data.member('identity')),
      };
  }
}

function readMessage(direction: 'received' | 'sent', data: FieldReader): DeliveryBody {
  const conversation = readConversation(data.member('conversation'));
  const author = readAuthor(data.member('author'));
  const recipientsField = data.member('recipients');
  const recipients = recipientsField.isPresent
    ? recipientsField.items(RECIPIENTS_MAX).map((item) => readIdentity(item.member('identity')))
    : [];
  if (direction === 'received' && author.type !== 'user') {
    data.member('author').member('type').fail('user (a received message is from a person)');
  }
  if (direction === 'sent' && author.type !== 'business') {
    data.member('author').member('type').fail('business (a sent message is from the business)');
  }
  if (direction === 'sent' && conversation.type === 'personal' && recipients.length !== 1) {
    recipientsField.fail('one recipient: the person of the personal conversation');
  }
  const quoted = data.member('quoted');
  const metadata = data.member('metadata');
  return {
    kind: 'message',
    direction,
    conversation,
    author,
    recipients,
    content: readContent(data.member('content')),
    quotedExternalId: quoted.isPresent ? readLongId(quoted.member('externalId')) : null,
    metadata: metadata.isPresent ? metadata.json(METADATA_JSON_MAX) : null,
    purpose: data.member('purpose').optionalText(NAME_LENGTH_MAX),
  };
}

function readTarget(data: FieldReader): { conversation: ConversationReference; message: string } {
  return {
    conversation: readConversation(data.member('conversation')),
    message: readLongId(data.member('message').member('externalId')),
  };
}

function readReceipt(data: FieldReader): DeliveryBody {
  const conversation = data.member('conversation');
  return {
    kind: 'receipt',
    conversation: conversation.isPresent ? readConversation(conversation) : null,
    message: readLongId(data.member('message').member('externalId')),
    identity: readIdentity(data.member('identity')),
    status: data.member('status').oneOf(receiptStatuses),
    reason: data.member('reason').optionalText(NAME_LENGTH_MAX),
  };
}

function readProfile(data: FieldReader): DeliveryBody {
  const profile = data.member('profile');
  const metadata = data.member('metadata');
  const identity = readIdentity(data.member('identity'));
  const fields = profile.isPresent ? readProfileFields(profile) : {};
  const json = metadata.isPresent ? metadata.json(METADATA_JSON_MAX) : null;
  if (Object.keys(fields).length === 0 && json === null) {
    profile.fail('an object with a field (or metadata with a key)');
  }
  return { kind: 'profile', identity, profile: fields, metadata: json ?? '{}' };
}

/** The fields that a profile object gives; null removes one. Unknown ones are refused. */
export function readProfileFields(profile: FieldReader): Partial<ProfileFields> {
  const names = profile.memberNames();
  for (const name of names) {
    if (Object.hasOwn(PROFILE_LENGTHS, name)) continue;
    profile.member(name).fail(`one of the fields ${profileFields.join(', ')}`);
  }
  const lengths = Object.entries(PROFILE_LENGTHS).filter(([name]) => names.includes(name));
  const fields = lengths.map(([name, max]) => [name, profile.member(name).optionalText(max)]);
  return Object.fromEntries(fields);
}

function readConversation(field: FieldReader): ConversationReference {
  if (!field.isObject) field.fail('an object {type, externalId?}');
  const type = field.member('type').oneOf(['personal', 'sdkGroup']);
  const externalId = field.member('externalId');
  if (type === 'sdkGroup' && !externalId.isPresent) {
    externalId.fail('a string (a group is known by it)');
  }
  return { type, externalId: externalId.isPresent ? readLongId(externalId) : null };
}

function readIdentity(field: FieldReader): Identity {
  if (!field.isObject) field.fail('an object {channel, externalId}');
  const channel = field.member('channel').text(64);
  if (channel.startsWith('lethe:')) {
    field.member('channel').fail('a channel that does not begin with "lethe:"');
  }
  return { channel, externalId: field.member('externalId').text(ID_LENGTH_MAX) };
}

function readAuthor(field: FieldReader): Author {
  const type = field.member('type').oneOf(['user', 'business']);
  const displayName = readName(field.member('displayName'));
  if (type === 'user') {
    return { type, identity: readIdentity(field.member('identity')), displayName };
  }
  const subtypes = field.member('subtypes');
  return {
    type,
    userId: field.member('userId').optionalText(ID_LENGTH_MAX) || null,
    displayName,
    subtypes: subtypes.isPresent ? subtypes.items(SUBTYPES_MAX).map((item) => item.text(32)) : [],
  };
}

/**
 * An id that a channel gives to a message or a conversation. Mail has ids of any length: a longer
 * one is known by its hash, wherever it is named.
 */
function readLongId(field: FieldReader): string {
  const id = field.text(LONG_ID_MAX);
  return id.length <= ID_LENGTH_MAX ? id : `sha256:${sha256(Buffer.from(id)).toString('hex')}`;
}

/** What a channel calls somebody. A longer name is cut, and has a mark where it was. */
function readName(field: FieldReader): string | null {
  const name = field.optionalText(LONG_ID_MAX);
  if (name === null || name.length <= NAME_LENGTH_MAX) return name || null;
  const cut = name.slice(0, NAME_LENGTH_MAX - 1);
  return `${cut.isWellFormed() ? cut : cut.slice(0, -1)}…`;
}

/**
 * A content object; text content needs a text. A type that nobody knows is a mistake, unless it
 * says that it is to be kept as it is: `opaque`.
 */
export function readContent(field: FieldReader): Content {
  if (!field.isObject) field.fail('an object {type, …}');
  const given = field.member('type').text(32);
  if (!CONTENT_TYPES.has(given) && !field.member('opaque').isTrue) {
    const known = [...CONTENT_TYPES].join(', ');
    field.member('type').fail(`one of ${known}; or another, with "opaque": true beside it`);
  }
  // The kind of content is clear in the header, so only known words may stand there; another type
  // is sealed with the content and shown from there.
  const type = CONTENT_TYPES.has(given) ? given : 'other';
  const text = field.member('text');
  if (type === 'text' && !text.isPresent) text.fail('a string (missing)');
  return {
    type,
    text: text.isPresent ? text.text(TEXT_LENGTH_MAX, 0) : null,
    rest: field.json(CONTENT_JSON_MAX, type === 'other' ? ['text'] : ['type', 'text']),
  };
}
