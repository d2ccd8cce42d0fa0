/** What conversations are called, and their metadata. */

import type { AppId, ConversationId } from '../base/ids.ts';
import type { ConversationDescribed } from '../conversation/event-types.ts';
import {
  type DescribedPart,
  type Description,
  foldDescription,
} from '../conversation/field-fold.ts';
import type { ReaderPowers } from '../wiring/powers.ts';
import { decodeView, openContents } from './open-content.ts';

/** The descriptions, in the order of the ids. What is gone says nothing. */
export async function readDescriptions(
  powers: Pick<ReaderPowers, 'keyring' | 'sealer' | 'views'>,
  app: AppId,
  ids: readonly ConversationId[],
): Promise<Description[]> {
  const facts = await Promise.all(ids.map((id) => powers.views.facts(id)));
  const events = facts.flatMap((own, i) =>
    own.map((fact) => decodeView(fact.record, { app, stream: ids[i]! })),
  );
  const opened = await openContents(powers, events);
  const parts = new Map(ids.map((id) => [id as string, [] as DescribedPart[]]));
  for (const { header, content } of opened) {
    if (content === undefined) continue;
    const described = { part: header.contentKind, content: content as ConversationDescribed };
    parts.get(header.stream)!.push(described);
  }
  return ids.map((id) => foldDescription(parts.get(id)!));
}
