/** Conversations and their participants, joined from views, directory and the vault. */

import type { AppId, ConversationId, SubjectId } from '../../libs/base/ids.ts';
import { readDescription } from '../../libs/people/descriptions.ts';
import { assertFenced, USER_CHANNEL } from '../../libs/people/find-subject.ts';
import { readPeople } from '../../libs/people/people.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';

/** A conversation in the shape of the REST interface. */
export interface ConversationJson {
  readonly id: string;
  readonly type: string;
  readonly isDefault: boolean;
  readonly displayName?: string;
  readonly metadata?: unknown;
  readonly createdAt: string;
  readonly lastUpdatedAt?: string;
}

export interface ParticipantJson {
  readonly id: string;
  readonly userId: string;
}

/** One conversation; `erased`: its person is gone, or it was deleted. */
export async function readConversation(
  powers: ReaderPowers,
  app: AppId,
  id: ConversationId,
): Promise<ConversationJson | 'erased' | undefined> {
  const [entry] = await powers.directory.conversations(app, [id]);
  if (typeof entry !== 'object') return entry;
  const view = await powers.views.conversation(id);
  const description = await readDescription(powers, app, id);
  const { kind, isDefault, createdAt } = entry.value;
  return {
    id,
    type: kind,
    isDefault,
    ...(description?.displayName && { displayName: description.displayName }),
    ...(description?.metadata && { metadata: JSON.parse(description.metadata) }),
    createdAt: new Date(createdAt).toISOString(),
    ...(view && { lastUpdatedAt: positionToIso(view.lastPosition) }),
  };
}

/** The time of a position. */
export function positionToIso(position: string): string {
  return new Date(Number.parseInt(position.slice(0, 16), 16)).toISOString();
}

/** Who takes part, oldest first; erased people are not named. */
export async function readParticipants(
  powers: ReaderPowers,
  app: AppId,
  id: ConversationId,
): Promise<ParticipantJson[]> {
  const views = (await powers.views.participants(id)).filter((one) => !one.left);
  const subjects = views.map((one) => one.subject as SubjectId);
  const entries = await powers.directory.subjects(app, subjects);
  return entries.flatMap((entry) =>
    entry === undefined ? [] : [{ id: entry.value.alias, userId: entry.value.alias }],
  );
}

/** A page of a person's conversations, by id. */
export async function readConversationsOf(
  powers: ReaderPowers,
  app: AppId,
  query: { subject: SubjectId; after?: string; limit: number },
): Promise<ConversationJson[]> {
  const { subject, after, limit } = query;
  const page = { limit, ...(after !== undefined && { after }) };
  const ids = await powers.views.conversationsOf(subject, page);
  return readAll(powers, app, ids);
}

/** An app's newest conversations. */
export async function readInbox(
  powers: ReaderPowers,
  app: AppId,
  limit: number,
): Promise<ConversationJson[]> {
  const rows = await powers.views.inbox(app, { limit });
  return readAll(powers, app, [...new Set(rows.map((row) => row.conversation))]);
}

async function readAll(
  powers: ReaderPowers,
  app: AppId,
  ids: readonly string[],
): Promise<ConversationJson[]> {
  const found: ConversationJson[] = [];
  for (const id of ids) {
    const conversation = await readConversation(powers, app, id as ConversationId);
    if (typeof conversation === 'object') found.push(conversation);
  }
  return found;
}

/** A user in the shape of the REST interface. */
export async function readUser(
  powers: ReaderPowers,
  app: AppId,
  subject: SubjectId,
): Promise<Record<string, unknown> | undefined> {
  const person = (await readPeople(powers, app, [subject])).get(subject);
  if (person === undefined) {
    await assertFenced(powers, app, subject);
    return undefined;
  }
  const profile = person.parts.get('profile');
  const name = person.parts.get('name')?.displayName;
  const { part: _, metadata: __, ...fields } = profile ?? { part: '', metadata: null };
  const given = Object.entries(fields).filter(([, value]) => value !== null);
  const external = person.identities.find((one) => one.channel === USER_CHANNEL);
  const metadata = person.parts.get('metadata')?.metadata;
  return {
    id: person.value.alias,
    ...(external && { externalId: external.externalId }),
    signedUpAt: new Date(person.value.createdAt).toISOString(),
    profile: { ...(name && { displayName: name }), ...Object.fromEntries(given) },
    metadata: metadata ? JSON.parse(metadata) : {},
    identities: person.identities
      .filter((one) => !one.channel.startsWith('lethe:'))
      .map(({ channel, externalId }) => ({ type: channel, value: externalId })),
  };
}
