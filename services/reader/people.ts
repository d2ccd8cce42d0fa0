/** Who subjects are, as consumers may see it: their alias, names, profile and identities. */
import type { Alias, AppId, SubjectId } from '../../libs/base/ids.ts';
import type { ReaderPowers } from '../../libs/backends/open-backends.ts';
import type { IdentityLinked, ProfileUpdated } from '../../libs/conversation/event-types.ts';
import type { SubjectValue } from '../../libs/vault/directory.ts';
import { rowKinds } from '../../libs/vault/vault-store.ts';
import { decodeView, openContents } from './open-content.ts';

/** A person as the views and the vault have them. */
export interface Person {
  readonly id: SubjectId;
  readonly value: SubjectValue;
  /** Parts of the profile by name: profile, metadata, name. */
  readonly parts: ReadonlyMap<string, ProfileUpdated>;
  readonly identities: readonly IdentityLinked[];
  readonly displayName: string | null;
}

/** The people behind subject ids; those that were erased are missing. */
export async function readPeople(
  powers: ReaderPowers,
  app: AppId,
  ids: readonly SubjectId[],
): Promise<Map<SubjectId, Person>> {
  const unique = [...new Set(ids)];
  const entries = await powers.directory.subjects(app, unique);
  const present = entries.filter((entry) => entry !== undefined);
  const views = await Promise.all(present.map((entry) => powers.views.facts(entry.id)));
  const events = views.flatMap((facts, i) =>
    facts.map((fact) => decodeView(fact.record, { app, stream: present[i]!.id })),
  );
  const opened = await openContents(powers, events);
  let at = 0;
  return new Map(
    present.map((entry, i) => {
      const facts = opened.slice(at, at + views[i]!.length);
      at += facts.length;
      const parts = new Map<string, ProfileUpdated>();
      const identities: IdentityLinked[] = [];
      for (const { header, content } of facts) {
        if (content === undefined) continue;
        if (header.type === 'IdentityLinked') identities.push(content as IdentityLinked);
        else parts.set((content as ProfileUpdated).part, content as ProfileUpdated);
      }
      const { id, value } = entry;
      return [id, { id, value, parts, identities, displayName: displayNameOf(parts) }];
    }),
  );
}

/** What to call somebody: their own display name, else their names, else the channel's. */
function displayNameOf(parts: ReadonlyMap<string, ProfileUpdated>): string | null {
  const profile = parts.get('profile');
  const names = [profile?.givenName, profile?.surname].filter((name) => name);
  const own = profile?.displayName ?? (names.length > 0 ? names.join(' ') : null);
  return own ?? parts.get('name')?.displayName ?? null;
}

/** What a user id or external id in a path led to. */
export type UserOutcome = SubjectId | 'erased' | undefined;

/** The subject that an alias names. */
export async function findAlias(
  powers: Pick<ReaderPowers, 'directory'>,
  app: AppId,
  alias: Alias,
): Promise<UserOutcome> {
  const row = (await powers.directory.names(app)).alias(alias);
  const [found] = await powers.directory.references(app, rowKinds.alias, [row]);
  return found as UserOutcome;
}

/** The subject that a channel-side name leads to. */
export async function findIdentity(
  powers: Pick<ReaderPowers, 'directory'>,
  app: AppId,
  identity: { channel: string; externalId: string },
): Promise<SubjectId | undefined> {
  const names = await powers.directory.names(app);
  const row = names.identity(identity.channel, identity.externalId);
  const [found] = await powers.directory.references(app, rowKinds.identity, [row]);
  return found === 'erased' ? undefined : (found as SubjectId | undefined);
}
