/** Who never joined a group, nor wrote in it, can neither read it nor leave it. */

import type { AppId, ConversationId, SubjectId } from '../../../libs/base/ids.ts';
import { HttpError } from '../../../libs/http/http-error.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';

/** Throws 400 `not_a_participant`. */
export async function assertMember(
  powers: IngestPowers,
  app: AppId,
  part: { conversation: ConversationId; subject: SubjectId },
): Promise<void> {
  const membership = { group: part.conversation, person: part.subject };
  if (await powers.directory.isMember(app, membership)) return;
  throw new HttpError(400, 'not_a_participant', 'This user takes no part in this conversation');
}
