/** Conversations and their participants, joined from views, directory and the vault. */

import type { AppId, ConversationId, SubjectId } from '../../libs/base/ids.ts';
import { metadataToJson } from '../../libs/conversation/field-fold.ts';
import type { Position } from '../../libs/conversation/view-changes.ts';
import { readDescriptions } from '../../libs/people/descriptions.ts';
import { AGENT_CHANNEL, assertFenced } from '../../libs/people/find-subject.ts';
import { personToUser, readPeople, type UserJson } from '../../libs/people/people.ts';
import type { ConversationView, ParticipantView, PersonView } from '../../libs/views/view-store.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';
import type { List } from './list-page.ts';

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
  const lastPosition = (await powers.views.conversation(id))?.lastPosition;
  return (await showConversations(powers, app, [{ id, lastPosition }]))[0];
}

async function showConversations(
  powers: ReaderPowers,
  app: AppId,
  views: readonly { id: ConversationId; lastPosition: Position | undefined }[],
): Promise<(ConversationJson | 'erased' | undefined)[]> {
  const ids = views.map(({ id }) => id);
  const entries = await powers.directory.conversations(app, ids);
  const there = entries.filter((entry) => typeof entry === 'object');
  const descriptions = await readDescriptions(
    powers,
    app,
    there.map(({ id }) => id),
  );
  const described = new Map(there.map(({ id }, i) => [id, descriptions[i]!]));
  return entries.map((entry, i) => {
    if (typeof entry !== 'object') return entry;
    const { kind, isDefault, createdAt } = entry.value;
    const { displayName, metadata } = described.get(entry.id)!;
    const { lastPosition } = views[i]!;
    return {
      id: entry.id,
      type: kind,
      isDefault,
      ...(displayName && { displayName }),
      ...(metadata.size > 0 && { metadata: metadataToJson(metadata) }),
      createdAt: new Date(createdAt).toISOString(),
      ...(lastPosition && { lastUpdatedAt: positionToIso(lastPosition) }),
    };
  });
}

/** The time of a position. */
export function positionToIso(position: string): string {
  return new Date(Number.parseInt(position.slice(0, 16), 16)).toISOString();
}

/** Who takes part, newest first; erased people are not named. */
export async function readParticipants(
  powers: ReaderPowers,
  app: AppId,
  id: ConversationId,
): Promise<List<ParticipantView, ParticipantJson>> {
  const all = await powers.views.participants(id);
  const newest = all.filter((one) => !one.left).reverse();
  return {
    read: async ({ before = 'g', limit }) =>
      newest.filter(({ since }) => since < before).slice(0, limit),
    placeOf: ({ since }) => since,
    async show(views) {
      const ids = views.map(({ subject }) => subject);
      const entries = await powers.directory.subjects(app, ids);
      return entries.map((entry) => entry && { id: entry.value.alias, userId: entry.value.alias });
    },
  };
}

/** A person's conversations. */
export function conversationsOf(
  powers: ReaderPowers,
  app: AppId,
  subject: SubjectId,
): List<ConversationView, ConversationJson> {
  return listConversations(powers, app, (page) => powers.views.conversationsOf(subject, page));
}

/** An app's conversations. */
export function conversationsOfApp(
  powers: ReaderPowers,
  app: AppId,
): List<ConversationView, ConversationJson> {
  return listConversations(powers, app, (page) => powers.views.inbox(app, page));
}

function listConversations(
  powers: ReaderPowers,
  app: AppId,
  read: List<ConversationView, ConversationJson>['read'],
): List<ConversationView, ConversationJson> {
  return {
    read,
    placeOf: ({ lastPosition }) => lastPosition,
    async show(views) {
      const shown = await showConversations(powers, app, views);
      return shown.map((one) => (one === 'erased' ? undefined : one));
    },
  };
}

/** An app's users; who is known as an author of the business alone is none. */
export function usersOfApp(powers: ReaderPowers, app: AppId): List<PersonView, UserJson> {
  return {
    read: (page) => powers.views.people(app, page),
    placeOf: ({ since }) => since,
    async show(views) {
      const ids = views.map(({ subject }) => subject);
      const people = await readPeople(powers, app, ids);
      return ids.map((id) => {
        const person = people.get(id);
        const isUser = person?.identities.every(({ channel }) => channel !== AGENT_CHANNEL);
        return isUser ? personToUser(person!) : undefined;
      });
    },
  };
}

/** One user; undefined: erased. */
export async function readUser(
  powers: ReaderPowers,
  app: AppId,
  subject: SubjectId,
): Promise<UserJson | undefined> {
  const person = (await readPeople(powers, app, [subject])).get(subject);
  if (person === undefined) await assertFenced(powers, app, subject);
  return person && personToUser(person);
}
