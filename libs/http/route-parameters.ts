/** Parameters of paths that several doors have, and who is meant by them. */
import { Type } from 'typebox';
import { type AppId, type ConversationId, type SubjectId, textToId } from '../base/ids.ts';
import { findUser } from '../people/find-subject.ts';
import type { Directory } from '../vault/directory/directory.ts';
import { badRequest, notFound } from './http-error.ts';

/** Of paths below an app. */
export const AppParameters = Type.Object({ appId: Type.String() });
/** Of paths below a user. */
export const UserParameters = Type.Object({ appId: Type.String(), userId: Type.String() });
/** Of paths below a conversation. */
export const ConversationParameters = Type.Object({
  appId: Type.String(),
  conversationId: Type.String(),
});
/** Of paths of one message. */
export const MessageParameters = Type.Object({
  appId: Type.String(),
  conversationId: Type.String(),
  messageId: Type.String(),
});

/** The subject that a path calls by id or external id. Throws 404, `user_erased` for a marker. */
export async function subjectOfPath(
  directory: Directory,
  app: AppId,
  user: string,
): Promise<SubjectId> {
  const subject = await findUser(directory, app, user);
  if (subject === 'erased') throw notFound.userErased();
  if (subject === undefined) throw notFound.user();
  return subject;
}

/** Who a body names: by id, by external id, or by both if they agree. */
export async function subjectOfBody(
  directory: Directory,
  app: AppId,
  named: { userId?: string; userExternalId?: string },
  pointer = '',
): Promise<SubjectId> {
  const names = [named.userId, named.userExternalId].filter((name) => name !== undefined);
  if (names.length === 0) throw badRequest('Give userId or userExternalId', `${pointer}/userId`);
  const subjects = new Set<SubjectId>();
  for (const name of names) subjects.add(await subjectOfPath(directory, app, name));
  if (subjects.size === 1) return [...subjects][0]!;
  throw badRequest('userId and userExternalId name two people', `${pointer}/userId`);
}

/** A conversation's id in a path. Throws 404 when it is not shaped like one. */
export function conversationIdOfPath(text: string): ConversationId {
  const id = textToId<ConversationId>(text);
  if (id === undefined) throw notFound.conversation();
  return id;
}
