/**
 * Asks what is known of deliveries, and of the messages that they are about, and whether it is
 * gone. The ledger knows, and for messages older than its horizon the views do.
 */

import { type ConversationId, idToBytes } from '../../../libs/base/ids.ts';
import { decodeSealedEvent } from '../../../libs/codec/sealed-event.ts';
import type { Delivery } from '../../../libs/conversation/delivery.ts';
import type { DeliveryEntry, DeliveryName } from '../../../libs/deliveries/delivery-ledger.ts';
import { eventRingRefs } from '../../../libs/keyring/event-sealer.ts';
import { Ring } from '../../../libs/keyring/ring.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import type { App } from '../../../libs/vault/keys/app-registry.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import { messageIdOf } from './seal-plan.ts';

/** Whose a message is, where it lies and which thing it is. */
export interface KnownMessage
  extends Pick<DeliveryEntry, 'owner' | 'ownerKind' | 'place' | 'thing'> {
  readonly conversation: ConversationId;
}

/** What the ledger calls a delivery; `received` and `sent` are known by source and id alone. */
export function deliveryName(delivery: Delivery): DeliveryName {
  const { source, id, type, body } = delivery;
  const actor = actorIdentity(delivery);
  if (body.kind === 'message') {
    return { source, id, type, actorChannel: '', actorExternalId: '' };
  }
  const { channel: actorChannel, externalId: actorExternalId } = actor;
  return { source, id, type, actorChannel, actorExternalId };
}

function actorIdentity({ body }: Delivery): { channel: string; externalId: string } {
  const nobody = { channel: '', externalId: '' };
  if ('identity' in body) return body.identity;
  if (body.kind === 'message' || body.author === null) return nobody;
  if (body.author.type === 'user') return body.author.identity;
  const { userId, displayName } = body.author;
  return { channel: 'business', externalId: userId ?? displayName ?? '' };
}

/** The two names under which the message that a delivery is about may be known. */
export function targetNames(delivery: Delivery): DeliveryName[] {
  const { body, source } = delivery;
  if (!('message' in body)) return [];
  const id = body.message;
  return ['lethe.message.received', 'lethe.message.sent'].map((type) => {
    return { source, id, type, actorChannel: '', actorExternalId: '' };
  });
}

/** For each message: can it no longer be opened, because its person, place or thing is gone? */
export async function areGone(
  powers: Pick<IngestPowers, 'keyring'>,
  app: App,
  messages: readonly Pick<KnownMessage, 'owner' | 'place' | 'thing'>[],
): Promise<boolean[]> {
  const refs = messages.flatMap(({ owner, place, thing }) =>
    eventRingRefs({ app: app.id, owner, place, thing }).slice(1),
  );
  const leaf = Buffer.alloc(32);
  return powers.keyring.use(refs, async (rings) => {
    const gone = messages.map(({ thing }, i) => {
      const [owner, place] = [rings[i * 2]!, rings[i * 2 + 1]!];
      if (!(owner instanceof Ring) || !(place instanceof Ring)) return true;
      return !place.writeThingLeaf(idToBytes(thing), leaf);
    });
    leaf.fill(0);
    return gone;
  });
}

/** The message of a target that the ledger no longer knows, as the views have it. */
export async function messageFromViews(
  powers: Pick<IngestPowers, 'keyring' | 'views'>,
  app: App,
  target: { source: string; externalId: string; place: string },
): Promise<KnownMessage | undefined> {
  const ref = { app: app.id, kind: ringKinds.place, id: target.place };
  const id = await powers.keyring.use([ref], async ([ring]) =>
    ring instanceof Ring ? messageIdOf(ring.idHmac(), target) : undefined,
  );
  const view = id === undefined ? undefined : await powers.views.message(id);
  if (view === undefined) return undefined;
  const { header } = decodeSealedEvent(view.record);
  const { owner, ownerKind, place, thing } = header;
  return { owner, ownerKind, place, thing, conversation: header.stream as ConversationId };
}
