/** Whose words a conversation holds. */
import type { ConversationId, OwnerId } from '../../../libs/base/ids.ts';
import { type Run, readConversation } from './run.ts';

/** Its person; of a group, everybody who ever joined it, wrote in it or is shown in it. */
export async function ownersOfConversation(
  run: Pick<Run, 'powers' | 'app'>,
  id: ConversationId,
): Promise<OwnerId[]> {
  const { app, powers } = run;
  const conversation = await readConversation(run, id);
  if (conversation === undefined) return [];
  if (conversation.value.person !== null) return [conversation.value.person];
  const owners = new Set<OwnerId>();
  for await (const person of powers.directory.members(app.id, id)) owners.add(person);
  for (const one of await powers.views.participants(id)) owners.add(one.subject as OwnerId);
  return [...owners];
}
