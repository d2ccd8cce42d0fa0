/** Who never joined a group, nor wrote in it, can neither read it nor leave it. */

import type { AppId, ConversationId, SubjectId } from '../../../libs/base/ids.ts';
import { HttpError } from '../../../libs/http/http-error.ts';
import { memberId } from '../../../libs/vault/directory/group-members.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';

/** Throws 400 `not_a_participant`. */
export async function assertMember(
  powers: IngestPowers,
  app: AppId,
  of: { conversation: ConversationId; subject: SubjectId },
): Promise<void> {
  const id = memberId({ group: of.conversation, person: of.subject });
  const [member] = await powers.directory.members(app, [id]);
  if (member !== undefined) return;
  throw new HttpError(400, 'not_a_participant', 'This user takes no part in this conversation');
}
