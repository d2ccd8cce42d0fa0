/** One request under way, and what it is about. */

import type { ConversationId, SubjectId } from '../../libs/base/ids.ts';
import type { PrivacyRequest } from '../../libs/requests/request-store.ts';
import type { ConversationEntry, SubjectEntry } from '../../libs/vault/directory/directory.ts';
import type { App } from '../../libs/vault/keys/app-registry.ts';
import type { PrivacyPowers } from '../../libs/wiring/powers.ts';

/** One request under way. */
export interface Run {
  readonly powers: PrivacyPowers;
  readonly app: App;
  readonly request: PrivacyRequest;
  /** Records that a step begins. */
  step(name: string): Promise<void>;
}

export async function readSubject({
  powers,
  app,
  request,
}: Run): Promise<SubjectEntry | undefined> {
  const [subject] = await powers.directory.subjects(app.id, [request.target.subject as SubjectId]);
  return subject;
}

export async function personalConversations(
  { powers, app }: Run,
  { value }: SubjectEntry,
): Promise<ConversationEntry[]> {
  const found = await powers.directory.conversations(app.id, value.conversations);
  return found.filter((one): one is ConversationEntry => typeof one === 'object');
}

export async function readConversation(run: Run): Promise<ConversationEntry | undefined> {
  const id = run.request.target.conversation as ConversationId;
  const [entry] = await run.powers.directory.conversations(run.app.id, [id]);
  return typeof entry === 'object' ? entry : undefined;
}
