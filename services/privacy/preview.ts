/** Counts what a request would take, before it is made. Nothing is opened, nothing is changed. */

import type { AppId, ConversationId, MessageId, SubjectId } from '../../libs/base/ids.ts';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import { decodeSealedEvent, type EventHeader } from '../../libs/codec/sealed-event.ts';
import { msToDay, retentionClasses, shareLeaf } from '../../libs/sealing/tree-path.ts';
import type { PrivacyPowers } from '../../libs/wiring/powers.ts';

/** What a request is about. */
export type PreviewTarget =
  | { readonly kind: 'message'; readonly message: MessageId }
  | { readonly kind: 'conversation'; readonly conversation: ConversationId }
  | { readonly kind: 'subject'; readonly subject: SubjectId }
  | { readonly kind: 'app' }
  | {
      readonly kind: 'days';
      readonly fromDay: number;
      readonly toDay: number;
      readonly subject?: SubjectId;
      readonly retentionClass?: number;
    };

export interface Preview {
  /** Events by type that would not open any more. */
  readonly events: Readonly<Record<string, number>>;
  /** Messages among them, by whole conversations or not. */
  readonly messages: number;
  readonly conversations: number;
  readonly people: number;
  /** Other messages whose key lies at the same leaf: they would go too, so the run is refused. */
  readonly neighbours: readonly string[];
}

/** Looks at every record of the views. */
export async function previewLoss(
  powers: Pick<PrivacyPowers, 'views' | 'directory'>,
  app: AppId,
  target: PreviewTarget,
): Promise<Preview> {
  const matches = await matcherOf(powers, app, target);
  const events: Record<string, number> = {};
  const messages = new Set<string>();
  const conversations = new Set<string>();
  const people = new Set<string>();
  const neighbours = new Set<string>();
  const place = target.kind === 'message' ? await placeOf(powers, target.message) : undefined;
  for await (const record of powers.views.scanRecords()) {
    const header = readHeader(record);
    if (header === undefined || header.app !== app) continue;
    if (target.kind === 'message' && header.place === place && header.thing !== target.message) {
      if (shareLeaf(header.thing, target.message)) neighbours.add(header.thing);
    }
    if (!matches(header)) continue;
    events[header.type] = (events[header.type] ?? 0) + 1;
    if (header.type === 'MessagePosted') {
      messages.add(header.thing);
      conversations.add(header.stream);
    }
    if (header.ownerKind === 'person') people.add(header.owner);
  }
  return {
    events,
    messages: messages.size,
    conversations: conversations.size,
    people: people.size,
    neighbours: [...neighbours],
  };
}

function readHeader(record: Buffer): EventHeader | undefined {
  try {
    return decodeSealedEvent(record).header;
  } catch (error) {
    if (isLetheError(error)) return undefined;
    throw error;
  }
}

async function placeOf({ views }: Pick<PrivacyPowers, 'views'>, message: MessageId) {
  const view = await views.message(message);
  return view && decodeSealedEvent(view.record).header.place;
}

async function matcherOf(
  { directory }: Pick<PrivacyPowers, 'directory'>,
  app: AppId,
  target: PreviewTarget,
): Promise<(header: EventHeader) => boolean> {
  switch (target.kind) {
    case 'message':
      return ({ thing }) => thing === target.message;
    case 'conversation': {
      const [entry] = await directory.conversations(app, [target.conversation]);
      const place = typeof entry === 'object' ? entry.value.messagePlace : undefined;
      return (header) => header.place === place;
    }
    case 'subject': {
      const [entry] = await directory.subjects(app, [target.subject]);
      const own = new Set<string>(entry?.value.conversations ?? []);
      return ({ owner, stream }) => owner === target.subject || own.has(stream);
    }
    case 'app':
      return () => true;
    case 'days':
      return ({ owner, occurredAt, retentionClass }) => {
        if (retentionClass === retentionClasses.ageless) return false;
        if (target.retentionClass !== undefined && retentionClass !== target.retentionClass) {
          return false;
        }
        if (target.subject !== undefined && owner !== target.subject) return false;
        const day = msToDay(occurredAt);
        return day >= target.fromDay && day <= target.toDay;
      };
  }
}
