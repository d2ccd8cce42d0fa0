/** What a forget is about: a message or an attachment, and where its key lies. */

import type { AppId, ConversationId, MessageId } from '../../libs/base/ids.ts';
import type { RequestTarget } from '../../libs/requests/request-store.ts';
import { shareLeaf } from '../../libs/sealing/tree-path.ts';
import type { PrivacyPowers } from '../../libs/wiring/powers.ts';

/** Why nothing is forgotten. */
export type NoThing =
  | { readonly status: 'erased' }
  | { readonly status: 'notFound' }
  | { readonly status: 'refused'; readonly reason: string };

/** A message, or one of its attachments. */
export interface NamedThing {
  readonly conversation: ConversationId;
  readonly message: MessageId;
  readonly attachment?: string;
}

/**
 * The target of its forget, or why there is none. A leaf of the tree is taken with all that hangs
 * on it: while more hangs there than was named, the forget is refused.
 */
export async function findThing(
  { directory, views }: Pick<PrivacyPowers, 'directory' | 'views'>,
  app: AppId,
  thing: NamedThing,
): Promise<RequestTarget | NoThing> {
  const { conversation, message, attachment } = thing;
  const [entry] = await directory.conversations(app, [conversation]);
  if (entry === 'erased') return { status: 'erased' };
  const view = await views.message(message);
  if (entry === undefined || view?.conversation !== conversation) return { status: 'notFound' };
  const named = attachment ?? message;
  const others = (await views.messageIds(conversation)).filter((id) => id !== named);
  if (attachment === message) others.push(message);
  const neighbours = others.filter((id) => shareLeaf(id, named));
  if (neighbours.length > 0) {
    const reason =
      `message ${neighbours.join(', ')} would be forgotten with it: their keys share a leaf. ` +
      'Nothing was changed; clear the whole conversation, or erase the person';
    return { status: 'refused', reason };
  }
  return { ...thing, place: entry.value.messagePlace };
}
