/** Legal holds are looked at after a request is recorded, and before anything goes. */

import type { ConversationId, MessageId, OwnerId, SubjectId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { decodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import { lastPositions, waitForViews } from '../../libs/projection/views-behind.ts';
import type { RequestKind } from '../../libs/requests/request-store.ts';
import { membersOf } from '../../libs/vault/directory/group-members.ts';
import { held } from '../../libs/vault/taking/shred-rows.ts';
import { type Run, readConversation } from './request-run.ts';

const VIEWS_TIMEOUT_MS = 10_000;
/** What a hold refuses: not the end of another hold, nor that two are one, who then share it. */
const TAKING: readonly RequestKind[] = [
  'erase-subject',
  'clear-profile',
  'forget-message',
  'forget-attachment',
  'clear-conversation',
  'delete-conversation',
  'forget-days',
  'erase-app',
];

/**
 * Throws HELD when there is a hold on somebody whose words this would take. Days of a whole app are
 * taken all the same: who is held receives what opens their own of them. What has begun to take is
 * finished: a hold that came later waits for it.
 */
export async function respectHolds(run: Run, as: 'asked' | 'restored'): Promise<void> {
  const { app, request, powers } = run;
  const { keyring } = powers;
  const { subject, fromDay, toDay } = request.target;
  const holds = await keyring.heldSubjects(app.id);
  if (holds.length === 0) return;
  const mayRefuse = as === 'asked' && ['begun', 'received'].includes(request.step);
  if (request.kind === 'forget-days' && subject === undefined) {
    const days = { fromDay: fromDay!, toDay: toDay! };
    for (const one of holds) await keyring.keepDays(app.id, one, days);
    return;
  }
  if (!mayRefuse || !TAKING.includes(request.kind)) return;
  if (request.kind === 'erase-app') throw held();
  // Whose a message is, and who reacted to it, is judged by what is on the log by now.
  const positions = await lastPositions(powers.log);
  if (!(await waitForViews(powers, positions, VIEWS_TIMEOUT_MS))) {
    const text =
      'somebody is held, and the views are behind the log: tried again when they are not';
    throw new LetheError('CONTENDED', text, { retryable: true });
  }
  const areHeld = await keyring.areHeld(app.id, await ownersOf(run));
  if (areHeld.includes(true)) throw held();
}

/** Whose words a request would take. */
async function ownersOf(run: Run): Promise<OwnerId[]> {
  const { app, request, powers } = run;
  const { subject, message } = request.target;
  if (subject !== undefined) return powers.keyring.mergedWith(app.id, subject as SubjectId);
  if (message !== undefined) return ownersOfMessage(run, message as MessageId);
  const conversation = await readConversation(run);
  if (conversation === undefined) return [];
  if (conversation.value.person !== null) return [conversation.value.person];
  const owners = new Set<OwnerId>();
  for await (const { value } of membersOf(powers.directory, app.id, conversation)) {
    owners.add(value.person);
  }
  const id = request.target.conversation as ConversationId;
  for (const one of await powers.views.participants(id)) owners.add(one.subject as OwnerId);
  return [...owners];
}

/** A message goes with its edits and everybody's reactions. */
async function ownersOfMessage({ powers }: Run, message: MessageId): Promise<OwnerId[]> {
  const view = await powers.views.message(message);
  const changes = await powers.views.changes([message]);
  const records = [...(view === undefined ? [] : [view.record]), ...changes.map((c) => c.record)];
  return records.map((record) => decodeSealedEvent(record).header.owner);
}

/** Did somebody who is held edit, react to or read a message of a conversation? */
export async function hasHeldReactions(
  { app, powers }: Pick<Run, 'app' | 'powers'>,
  conversation: ConversationId,
): Promise<boolean> {
  const holds = new Set<string>(await powers.keyring.heldSubjects(app.id));
  if (holds.size === 0) return false;
  const ids = await powers.views.messageIds(conversation);
  const changes = await powers.views.changes(ids);
  return changes.some(({ record }) => holds.has(decodeSealedEvent(record).header.owner));
}
