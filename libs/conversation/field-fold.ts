/**
 * Folds facts that carry one field each into profiles and descriptions. Pure: oldest first. Two who
 * change different fields at once lose nothing; of one field the newest fact counts.
 */
import type { ProfileFields } from './delivery.ts';
import type { ConversationDescribed, ProfileUpdated } from './event-types.ts';

/** Characters of JSON that metadata has at most, as in the adopted interface. */
export const METADATA_JSON_MAX = 4_096;
/** Different keys that metadata ever had, at most: each stays a fact, also when it is removed. */
export const METADATA_KEYS_MAX = 256;

/** The names of a profile's fields. */
export const profileFields = [
  'displayName',
  'givenName',
  'surname',
  'email',
  'avatarUrl',
  'locale',
] as const satisfies readonly (keyof ProfileFields)[];

/** Metadata by key, oldest first; null: the key was removed. */
export type Metadata = ReadonlyMap<string, unknown>;

/** What is known of a person beside their identities. */
export interface Profile {
  /** Fields that were given, by name. */
  readonly fields: Partial<Record<keyof ProfileFields, string>>;
  /** What a channel calls them. */
  readonly channelName: string | null;
  readonly metadata: Metadata;
}

/** A profile out of its facts. */
export function foldProfile(updates: readonly ProfileUpdated[]): Profile {
  const fields: Partial<Record<keyof ProfileFields, string>> = {};
  const metadata = new Map<string, unknown>();
  let channelName: string | null = null;
  const set = (name: keyof ProfileFields, update: ProfileUpdated) => {
    delete fields[name];
    const value = update[name];
    if (value !== null) fields[name] = value;
  };
  for (const update of updates) {
    if (update.part === 'name') channelName = update.displayName;
    else if (isProfileField(update.part)) set(update.part, update);
    // Earlier versions wrote a profile, or its metadata, whole.
    else if (update.part === 'profile') for (const name of profileFields) set(name, update);
    else addMetadata(metadata, update.metadata, update.part === 'metadata');
  }
  return { fields, channelName, metadata };
}

function isProfileField(part: string): part is keyof ProfileFields {
  return (profileFields as readonly string[]).includes(part);
}

/** A conversation's title and metadata. */
export interface Description {
  readonly displayName: string | null;
  readonly metadata: Metadata;
}

/** A part of a description, as its fact's header names it; null: whole, of an earlier version. */
export interface DescribedPart {
  readonly part: string | null;
  readonly content: ConversationDescribed;
}

/** A description out of its facts. */
export function foldDescription(parts: readonly DescribedPart[]): Description {
  const metadata = new Map<string, unknown>();
  let displayName: string | null = null;
  for (const { part, content } of parts) {
    if (part === null || part === 'displayName') displayName = content.displayName;
    if (part !== 'displayName') addMetadata(metadata, content.metadata, part === null);
  }
  return { displayName, metadata };
}

function addMetadata(metadata: Map<string, unknown>, json: string | null, isWhole: boolean): void {
  if (isWhole) metadata.clear();
  for (const [key, value] of Object.entries(JSON.parse(json ?? '{}'))) {
    // What is set anew comes last, as it does where it was never set before.
    metadata.delete(key);
    metadata.set(key, value);
  }
}

/** Given fields and keys over what is there; null removes one. */
export function mergeProfile(
  profile: Profile,
  given: { readonly profile: Partial<ProfileFields>; readonly metadata: string },
): Profile {
  const fields = Object.entries({ ...profile.fields, ...given.profile });
  return {
    ...profile,
    fields: Object.fromEntries(fields.filter(([, value]) => value !== null)),
    metadata: mergeMetadata(profile.metadata, given.metadata),
  };
}

/** Given keys over what is there. */
export function mergeMetadata(metadata: Metadata, json: string): Metadata {
  const merged = new Map(metadata);
  addMetadata(merged, json, false);
  return merged;
}

/** Metadata as consumers see it: an object without the keys that were removed. */
export function metadataToJson(metadata: Metadata): Record<string, unknown> {
  return Object.fromEntries([...metadata].filter(([, value]) => value !== null));
}

/** Is this more than metadata may be? */
export function isTooMuchMetadata(metadata: Metadata): boolean {
  const json = JSON.stringify(metadataToJson(metadata));
  return json.length > METADATA_JSON_MAX || metadata.size > METADATA_KEYS_MAX;
}

/** Metadata as facts carry it: a key, and JSON of an object that has it alone. */
export function metadataParts(json: string): { readonly key: string; readonly json: string }[] {
  return Object.entries(JSON.parse(json)).map(([key, value]) => {
    return { key, json: JSON.stringify(Object.fromEntries([[key, value]])) };
  });
}
