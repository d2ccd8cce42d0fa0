/** What conversations are called, and their metadata: the newest description of each. */

import type { AppId, ConversationId } from '../base/ids.ts';
import type { ConversationDescribed } from '../conversation/event-types.ts';
import type { ReaderPowers } from '../wiring/powers.ts';
import { decodeView, openContents } from './open-content.ts';

/** The descriptions, in the order of the ids; undefined: there is none, or it is gone. */
export async function readDescriptions(
  powers: Pick<ReaderPowers, 'keyring' | 'sealer' | 'views'>,
  app: AppId,
  ids: readonly ConversationId[],
): Promise<(ConversationDescribed | undefined)[]> {
  const facts = await Promise.all(ids.map((id) => powers.views.facts(id)));
  const newest = facts.map((own) => own.at(-1));
  const events = newest.flatMap((fact, i) =>
    fact === undefined ? [] : [decodeView(fact.record, { app, stream: ids[i]! })],
  );
  const opened = await openContents(powers, events);
  const contents = new Map(opened.map(({ header, content }) => [header.stream, content]));
  return ids.map((id) => contents.get(id) as ConversationDescribed | undefined);
}
