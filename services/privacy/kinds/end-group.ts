/** The end of a group that nobody is left in. */
import {
  type ConversationId,
  idToBytes,
  type LossId,
  type RequestId,
} from '../../../libs/base/ids.ts';
import { sha256 } from '../../../libs/codec/hash.ts';
import { labels } from '../../../libs/codec/labels.ts';
import { decodeSealedEvent } from '../../../libs/codec/sealed-event.ts';
import { recordLoss } from './record-loss.ts';
import type { Run } from './run.ts';

/** Whose erasure ends it. */
export type Ending = Pick<Run, 'powers' | 'app'> & {
  readonly request: { readonly id: RequestId; readonly loss: LossId };
};

/** A group goes with the last person who ever joined it or wrote in it. */
export async function endForsakenGroup(run: Ending, id: ConversationId): Promise<void> {
  const { powers, app, request } = run;
  const [group] = await powers.directory.conversations(app.id, [id]);
  if (typeof group !== 'object') return;
  // Whoever only reacted there is no member, but held all the same: the group stays with them.
  if (await hasHeldReactions(run, id)) return;
  if ((await powers.directoryShred.shredForsakenGroup(app, id, request.loss)) === 'kept') return;
  await powers.holders.passHolders();
  const fact = { id: furtherFact(request.id, id), type: 'ConversationDeleted' as const };
  await recordLoss(powers, app, { ...fact, content: { conversation: id } });
  await powers.directoryShred.removeConversation(app, group);
}

/** The id of a further fact of one request: the same whenever the step is repeated. */
export function furtherFact(request: RequestId, gone: string): RequestId {
  const bytes = Buffer.concat([labels.loss, idToBytes(request), Buffer.from(gone)]);
  return sha256(bytes).toString('hex', 0, 16) as RequestId;
}

/** Did somebody who is held edit, react to or read a message of a conversation? */
async function hasHeldReactions(
  { app, powers }: Pick<Run, 'app' | 'powers'>,
  conversation: ConversationId,
): Promise<boolean> {
  const holds = new Set<string>(await powers.keyringHold.heldSubjects(app.id));
  if (holds.size === 0) return false;
  const ids = await powers.views.messageIds(conversation);
  const changes = await powers.views.changes(ids);
  return changes.some(({ record }) => holds.has(decodeSealedEvent(record).header.owner));
}
