/** Writes the app's own facts about what was taken away, for consumers who keep copies. */

import type { EventId, RequestId } from '../../../libs/base/ids.ts';
import {
  contentCodecs,
  type EventType,
  type LossRecorded,
} from '../../../libs/conversation/event-types.ts';
import type { LogPosition } from '../../../libs/event-log/event-log.ts';
import { eventRingRefs } from '../../../libs/keyring/event-sealer.ts';
import { Ring } from '../../../libs/keyring/ring.ts';
import { retentionClasses } from '../../../libs/sealing/tree-path.ts';
import type { App } from '../../../libs/vault/keys/app-registry.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { Run } from './run.ts';

export type LossType = Extract<
  EventType,
  | 'SubjectErased'
  | 'ProfileCleared'
  | 'MessageForgotten'
  | 'ConversationCleared'
  | 'ConversationDeleted'
  | 'DaysForgotten'
>;

/**
 * Appends the fact; its event id is the request's, so that a repeated step is the same event.
 * Nothing is written when the app itself is gone.
 */
export async function recordLoss(
  powers: PrivacyPowers,
  app: App,
  loss: { id: RequestId; type: LossType; content: Partial<LossRecorded> },
): Promise<LogPosition | undefined> {
  const clock = await powers.recordingClock();
  await clock.keepAhead();
  const draft = {
    eventId: loss.id as string as EventId,
    attempt: 1,
    app: app.id,
    type: loss.type,
    stream: app.id,
    place: app.factsPlace,
    ownerKind: 'app' as const,
    owner: app.id,
    thing: loss.id as string as EventId,
    retentionClass: retentionClasses.ageless,
    occurredAt: powers.clock.nowMs(),
    recordedAt: clock.next(),
    contentFingerprint: contentCodecs[loss.type].fingerprint,
    attachments: [],
    contentKind: null,
    authorRole: null,
    replyTo: null,
    receiptStatus: null,
  };
  const nothing = { user: null, conversation: null, message: null, fromDay: null, toDay: null };
  const fields = { ...nothing, ...loss.content };
  const content = contentCodecs[loss.type].encode(fields);
  return powers.keyring.use(eventRingRefs(draft), async ([appRing, owner, place]) => {
    if (!(appRing instanceof Ring && owner instanceof Ring && place instanceof Ring)) {
      return undefined;
    }
    const rings = { app: appRing, owner, place };
    const sealed = powers.sealer.seal(draft, content, rings);
    if (sealed === 'forgotten') return undefined;
    const [position] = await powers.log.append([sealed]);
    return position;
  });
}

/** Writes the one fact that a request leaves; its event id is the request's. */
export async function recordFact(
  { powers, app, request }: Pick<Run, 'powers' | 'app'> & { readonly request: { id: RequestId } },
  type: LossType,
  content: Partial<LossRecorded>,
): Promise<void> {
  await recordLoss(powers, app, { id: request.id, type, content });
}
