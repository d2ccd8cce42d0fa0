/** Who subjects are, as consumers may see it: their alias, names, profile and identities. */

import type { AppId, SubjectId } from '../base/ids.ts';
import type { IdentityLinked, ProfileUpdated } from '../conversation/event-types.ts';
import { foldProfile, metadataToJson, type Profile } from '../conversation/field-fold.ts';
import { ringKinds } from '../sealing/tree-path.ts';
import type { SubjectEntry, SubjectValue } from '../vault/directory/directory.ts';
import type { ReaderPowers } from '../wiring/powers.ts';
import { USER_CHANNEL } from './find-subject.ts';
import { decodeView, openContents } from './open-content.ts';

/** A person as the views and the vault have them. */
export interface Person {
  readonly id: SubjectId;
  readonly value: SubjectValue;
  readonly profile: Profile;
  readonly identities: readonly IdentityLinked[];
  readonly displayName: string | null;
}

/** The people behind subject ids; those that were erased are missing. `names`: no identities. */
export async function readPeople(
  powers: Omit<ReaderPowers, 'pages'>,
  app: AppId,
  ids: readonly SubjectId[],
  wanted: 'names' | 'all' = 'all',
): Promise<Map<SubjectId, Person>> {
  const unique = [...new Set(ids)];
  const entries = await powers.directory.subjects(app, unique);
  const there = entries.filter((entry) => entry !== undefined);
  const present = await livingOf(powers, app, there);
  const facts = await Promise.all(present.map((entry) => powers.views.facts(entry.id)));
  // A page of messages needs names alone; identities lie in another place, under another ring.
  const views = facts.map((own) =>
    wanted === 'all' ? own : own.filter((fact) => fact.kind === 'ProfileUpdated'),
  );
  const events = views.flatMap((own, i) =>
    own.map((fact) => decodeView(fact.record, { app, stream: present[i]!.id })),
  );
  const opened = await openContents(powers, events);
  let at = 0;
  return new Map(
    present.map((entry, i) => {
      const own = opened.slice(at, at + views[i]!.length);
      at += own.length;
      const updates: ProfileUpdated[] = [];
      const identities: IdentityLinked[] = [];
      for (const { header, content } of own) {
        if (content === undefined) continue;
        if (header.type === 'IdentityLinked') identities.push(content as IdentityLinked);
        else updates.push(content as ProfileUpdated);
      }
      const { id, value } = entry;
      const profile = foldProfile(updates);
      return [id, { id, value, profile, identities, displayName: displayNameOf(profile) }];
    }),
  );
}

/** Between the fence and the end of an erasure the entry is still there, and leads to nobody. */
async function livingOf(
  { keyring }: Pick<ReaderPowers, 'keyring'>,
  app: AppId,
  entries: readonly SubjectEntry[],
): Promise<SubjectEntry[]> {
  const refs = entries.map(({ id }) => ({ app, kind: ringKinds.owner, id }));
  return keyring.use(refs, async (rings) => entries.filter((_, i) => rings[i] !== 'erased'));
}

/** What to call somebody: their own display name, else their names, else the channel's. */
function displayNameOf({ fields, channelName }: Profile): string | null {
  const names = [fields.givenName, fields.surname].filter((name) => name);
  const own = fields.displayName ?? (names.length > 0 ? names.join(' ') : null);
  return own ?? channelName;
}

/** A user in the shape of the REST interface. */
export interface UserJson {
  readonly id: string;
  readonly externalId?: string;
  /** As messages call them, so that whoever keeps messages can follow a change of the name. */
  readonly displayName?: string;
  readonly signedUpAt: string;
  readonly profile: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly identities: readonly { readonly type: string; readonly value: string }[];
}

/** A person as consumers see them. */
export function personToUser({
  value,
  profile,
  identities,
}: Pick<Person, 'value' | 'profile' | 'identities'>): UserJson {
  const external = identities.find((one) => one.channel === USER_CHANNEL);
  const { fields, metadata } = profile;
  const displayName = displayNameOf(profile);
  return {
    id: value.alias,
    ...(external && { externalId: external.externalId }),
    ...(displayName !== null && { displayName }),
    signedUpAt: new Date(value.createdAt).toISOString(),
    profile: fields,
    metadata: metadataToJson(metadata),
    identities: identities
      .filter((one) => !one.channel.startsWith('lethe:'))
      .map(({ channel, externalId }) => ({ type: channel, value: externalId })),
  };
}
