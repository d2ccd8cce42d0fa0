/** What a conversation is called, and its metadata: the newest description that can be opened. */

import type { AppId, ConversationId } from '../base/ids.ts';
import type { ConversationDescribed } from '../conversation/event-types.ts';
import type { ReaderPowers } from '../wiring/powers.ts';
import { decodeView, openContents } from './open-content.ts';

/** The description; undefined: there is none, or it is gone. */
export async function readDescription(
  powers: Pick<ReaderPowers, 'keyring' | 'sealer' | 'views'>,
  app: AppId,
  id: ConversationId,
): Promise<ConversationDescribed | undefined> {
  const facts = await powers.views.facts(id);
  const events = facts.map((fact) => decodeView(fact.record, { app, stream: id }));
  const opened = await openContents(powers, events);
  return opened.at(-1)?.content as ConversationDescribed | undefined;
}
