/** A message or an attachment: where its key lies, whose words go with it, and its leaf's end. */

import type { AppId, ConversationId, MessageId, OwnerId, PlaceId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { openHeaders } from '../../../libs/keyring/open-events.ts';
import { isDamage } from '../../../libs/keyring/past-damage.ts';
import type { RingRef } from '../../../libs/keyring/ring.ts';
import type { Taken } from '../../../libs/keyring/ring-material.ts';
import { ringKinds, THING_DEPTH, thingPath } from '../../../libs/sealing/tree-path.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { Asked } from './kind.ts';
import type { Run } from './run.ts';

/** Why nothing is forgotten. */
export type NoThing =
  | { readonly status: 'erased' }
  | { readonly status: 'notFound' }
  | { readonly status: 'refused'; readonly reason: string };

/** Where a message lies, or one of its attachments. */
interface ThingName {
  readonly conversation: ConversationId;
  readonly message: MessageId;
  /** The id of an attachment of the message; without it, the message itself. */
  readonly attachment?: string;
}

/**
 * The place of a thing, or why it is not forgotten. A leaf of the tree is taken with all that hangs
 * on it: while more hangs there than was named, the forget is refused.
 */
export async function findThing(
  { directory, views }: Pick<PrivacyPowers, 'directory' | 'views'>,
  app: AppId,
  name: ThingName,
): Promise<{ readonly place: PlaceId } | NoThing> {
  const { conversation, message } = name;
  const [entry] = await directory.conversations(app, [conversation]);
  if (entry === 'erased') return { status: 'erased' };
  const view = await views.message(message);
  if (entry === undefined || view?.conversation !== conversation) return { status: 'notFound' };
  const reason = await sharedLeaf(views, name);
  if (reason !== undefined) return { status: 'refused', reason };
  return { place: entry.value.messagePlace };
}

/** Why a thing is not forgotten: more hangs on its leaf than was named. Undefined: nothing does. */
export async function sharedLeaf(
  views: Pick<PrivacyPowers['views'], 'messagesOnLeaf'>,
  { conversation, message, attachment }: ThingName,
): Promise<string | undefined> {
  const named = attachment ?? message;
  const onLeaf = await views.messagesOnLeaf(conversation, named);
  const neighbours = onLeaf.filter((id) => id !== named);
  if (attachment === message) neighbours.push(message);
  if (neighbours.length === 0) return undefined;
  return (
    `message ${neighbours.join(', ')} would be forgotten with it: their keys share a leaf. ` +
    'Nothing was changed; clear the whole conversation, or erase the person'
  );
}

/**
 * A message goes with its edits and everybody's reactions. Throws EVENT_TAMPERED: the views hold
 * something else than was sealed, and whose it is cannot be told.
 */
export async function ownersOfMessage(
  { powers }: Pick<Run, 'powers'>,
  message: MessageId,
): Promise<OwnerId[]> {
  const view = await powers.views.message(message);
  const changes = await powers.views.changes([message], { edits: 1 });
  const records = [...(view === undefined ? [] : [view.record]), ...changes.map((c) => c.record)];
  return (await openHeaders(powers, records)).map(({ owner }) => owner);
}

/** Takes the leaf of a thing out of its place's ring. */
export async function shredLeaf(
  run: Run<'forget-message' | 'forget-attachment'>,
  { place, thing }: { readonly place: PlaceId; readonly thing: string },
  as: Asked,
): Promise<void> {
  const ref = { app: run.app.id, kind: ringKinds.place, id: place };
  const leaf = { path: thingPath(thing), depth: THING_DEPTH };
  await puncture(run, { ref, taken: [leaf] }, as);
}

/** Takes parts out of a ring. Throws VAULT_TAMPERED: the ring of something that is there is not. */
export async function puncture(
  { powers, request }: Pick<Run, 'powers' | 'request'>,
  { ref, taken }: { readonly ref: RingRef; readonly taken: readonly Taken[] },
  as: Asked,
): Promise<void> {
  const outcome = await powers.keyringShred.puncture(ref, taken, request.loss).catch((error) => {
    // A ring that does not authenticate opens nothing. What comes of it waits for T1 like all else.
    if (as === 'restored' && isDamage(error)) return 'done' as const;
    throw error;
  });
  // What came after a backup has no ring in it. Else somebody hides it, and may put it back.
  if (outcome !== 'absent' || as !== 'asked') return;
  const text =
    'a ring that events were sealed with is missing from the vault: nothing was forgotten';
  throw new LetheError('VAULT_TAMPERED', text);
}
