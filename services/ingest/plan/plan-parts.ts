/** Drafts that several plans share. Pure. */
import type { EventId, IndexId, OwnerId, SubjectId } from '../../../libs/base/ids.ts';
import type { OwnerKind } from '../../../libs/codec/sealed-event.ts';
import type { Identity, ProfileFields } from '../../../libs/conversation/delivery.ts';
import { contentCodecs, type ProfileUpdated } from '../../../libs/conversation/event-types.ts';
import { metadataParts, profileFields } from '../../../libs/conversation/field-fold.ts';
import { retentionClasses } from '../../../libs/sealing/tree-path.ts';
import type { SubjectValue } from '../../../libs/vault/directory/directory.ts';
import type { EventDraft, EventName, HiddenKind } from './ingest-item.ts';
import type { KnownConversation } from './resolver.ts';

const EMPTY_PROFILE = Object.fromEntries(
  profileFields.map((name) => [name, null]),
) as unknown as ProfileFields;

/** Fields of a draft that most events leave empty. */
export const NO_FACTS = {
  contentKind: null,
  authorRole: null,
  replyTo: null,
  receiptStatus: null,
} as const;

/** A fact about a person, in their profile or their record. */
export interface PersonFact {
  readonly subject: SubjectId;
  readonly value: SubjectValue;
  readonly id: EventName | EventId;
  readonly occurredAtMs: number;
}

/** Fields of a profile and keys of its metadata, a fact each. `fact` names the fact of a part. */
export function fieldDrafts(
  fact: (part: string) => PersonFact,
  given: { readonly profile: Partial<ProfileFields>; readonly metadata: string },
): EventDraft[] {
  const fields = Object.entries(given.profile).map(([name, value]) =>
    profileDraft(fact(name), name, { [name]: value }),
  );
  const keys = metadataParts(given.metadata).map(({ key, json }) => ({
    ...profileDraft(fact(`metadata\0${key}`), 'metadata key', { metadata: json }),
    contentKind: metadataKind(key),
  }));
  return [...fields, ...keys];
}

/** Keys of metadata may say much: no header has one in clear. */
export function metadataKind(key: string): HiddenKind {
  return { kind: 'metadata', name: key };
}

/** One part of a profile: `name` is what a channel calls them, others are fields. */
export function profileDraft(
  fact: PersonFact,
  part: string,
  fields: Partial<ProfileUpdated>,
): EventDraft {
  const content = { part, ...EMPTY_PROFILE, metadata: null, ...fields };
  return {
    ...NO_FACTS,
    type: 'ProfileUpdated',
    stream: fact.subject,
    ownerKind: 'person',
    owner: fact.subject,
    place: fact.value.profilePlace,
    id: fact.id,
    thing: 'self',
    retentionClass: retentionClasses.ageless,
    occurredAtMs: fact.occurredAtMs,
    content: contentCodecs.ProfileUpdated.encode(content),
    contentKind: part,
  };
}

/** That a person is known under an identity; its id is the same however often it is written. */
export function identityDraft(
  fact: Omit<PersonFact, 'id'>,
  row: IndexId,
  identity: Identity,
): EventDraft {
  return {
    ...NO_FACTS,
    type: 'IdentityLinked',
    stream: fact.subject,
    ownerKind: 'person',
    owner: fact.subject,
    place: fact.value.recordPlace,
    id: { source: '', id: row, actor: fact.subject },
    thing: 'self',
    retentionClass: retentionClasses.ageless,
    occurredAtMs: fact.occurredAtMs,
    content: contentCodecs.IdentityLinked.encode(identity),
  };
}

/** A personal conversation belongs to its person, a group to nobody in particular. */
export function fits(
  conversation: KnownConversation,
  type: 'personal' | 'sdkGroup',
  person: string | undefined,
): boolean {
  const { value } = conversation;
  if (value.kind !== type) return false;
  return type === 'sdkGroup' || person === undefined || value.person === person;
}

/** Personal: its person. Group: who wrote, or the group for what the business says. */
export function ownerOf(
  conversation: KnownConversation,
  writer: string | undefined,
): { ownerKind: OwnerKind; owner: OwnerId } {
  const { value, id } = conversation;
  if (value.person !== null) return { ownerKind: 'person', owner: value.person };
  if (writer !== undefined) return { ownerKind: 'person', owner: writer as OwnerId };
  return { ownerKind: 'group', owner: id };
}
