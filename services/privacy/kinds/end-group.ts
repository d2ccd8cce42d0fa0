/** The end of a group that nobody is left in. */
import {
  type ConversationId,
  idToBytes,
  type LossId,
  type RequestId,
} from '../../../libs/base/ids.ts';
import { sha256 } from '../../../libs/codec/hash.ts';
import { labels } from '../../../libs/codec/labels.ts';
import { openHeaders } from '../../../libs/keyring/open-events.ts';
import type { PrivacyRequest } from '../../../libs/requests/request.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import type { ConversationValue, DirectoryEntry } from '../../../libs/vault/directory/directory.ts';
import { recordLoss } from './record-loss.ts';
import { recordTaken } from './record-taken.ts';
import { type Run, tookNothing } from './run.ts';

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
  const own = await listEnd(run, group);
  const { messagePlace, profilePlace } = group.value;
  const places = [messagePlace, profilePlace].map((place) => {
    return { app: app.id, kind: ringKinds.place, id: place };
  });
  for (const ring of [{ app: app.id, kind: ringKinds.owner, id }, ...places]) {
    if (!(await powers.keyringShred.isTaken(ring, 'all'))) throw tookNothing(own);
  }
  await powers.holders.passHolders();
  await recordTaken(powers, [own.id]);
  const fact = { id: own.id, type: 'ConversationDeleted' as const };
  await recordLoss(powers, app, { ...fact, content: { conversation: id } });
  await powers.directoryShred.removeConversation(app, group);
  const afterTurn = await powers.newestTurn();
  const nowMs = powers.clock.nowMs();
  await powers.requests.finish(own, { nowMs, keepsTarget: false, afterTurn });
}

/**
 * The end of a group is a request of its own, and stands on the list as one: nothing else leads to
 * its places when its entry is gone.
 */
async function listEnd(
  { powers, app, request }: Ending,
  { id, value }: DirectoryEntry<ConversationId, ConversationValue>,
): Promise<PrivacyRequest> {
  const nowMs = powers.clock.nowMs();
  const target = { conversation: id, places: [value.messagePlace, value.profilePlace] };
  // Made of what no certificate tells: that must not lead to the group.
  const ids = { id: furtherFact(request.loss, id), loss: request.loss, app: app.id };
  const asked = { ...ids, kind: 'delete-conversation' as const, target };
  const own = { ...asked, step: 'begun' as const, receivedAtMs: nowMs, changedAtMs: nowMs };
  await powers.requests.add(own);
  await powers.erasures.add([{ ...asked, atMs: nowMs }]);
  return own;
}

/** The id of a further fact of one request: the same whenever the step is repeated. */
export function furtherFact(request: RequestId | LossId, gone: string): RequestId {
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
  const changes = await powers.views.changes(ids, { edits: 1 });
  const headers = await openHeaders(
    powers,
    changes.map(({ record }) => record),
  );
  return headers.some(({ owner }) => holds.has(owner));
}
