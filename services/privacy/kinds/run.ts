/** One request under way, and the people and conversations that it is about. */
import type { ConversationId, SubjectId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import type { OpenStep, RequestKind, RequestOf } from '../../../libs/requests/request.ts';
import type { ConversationEntry, SubjectEntry } from '../../../libs/vault/directory/directory.ts';
import type { App } from '../../../libs/vault/keys/app-registry.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';

/** One request under way. */
export interface Run<Kind extends RequestKind = RequestKind> {
  readonly powers: PrivacyPowers;
  readonly app: App;
  readonly request: RequestOf<Kind>;
  /** Records that a step begins. Throws HELD: another worker has met a hold and ended it. */
  step(name: OpenStep): Promise<void>;
}

type Within = Pick<Run, 'powers' | 'app'>;

/** A person's entry; undefined: they are gone, or never were. */
export async function readSubject(
  { powers, app }: Within,
  id: SubjectId,
): Promise<SubjectEntry | undefined> {
  const [subject] = await powers.directory.subjects(app.id, [id]);
  return subject;
}

/** The personal conversations of a person that are still there. */
export async function personalConversations(
  { powers, app }: Within,
  { value }: SubjectEntry,
): Promise<ConversationEntry[]> {
  const found = await powers.directory.conversations(app.id, value.conversations);
  return found.filter((one): one is ConversationEntry => typeof one === 'object');
}

/** A conversation's entry; undefined: it is gone, or never was. */
export async function readConversation(
  { powers, app }: Within,
  id: ConversationId,
): Promise<ConversationEntry | undefined> {
  const [entry] = await powers.directory.conversations(app.id, [id]);
  return typeof entry === 'object' ? entry : undefined;
}

/** Why a request stays open: what it had written changed nothing. */
export function tookNothing({
  kind,
  id,
  app,
}: Pick<RequestOf<RequestKind>, 'kind' | 'id' | 'app'>): LetheError {
  const text = `${kind} ${id} of the app ${app} took nothing: somebody keeps rows as they were`;
  return new LetheError('VAULT_TAMPERED', `${text}. Look at who can write the vault`);
}
