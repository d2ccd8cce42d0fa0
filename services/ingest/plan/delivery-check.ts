/**
 * Asks what is known of deliveries, and of the messages that they are about, and whether it is
 * gone. The ledger knows, and for messages older than its horizon the views do.
 */

import {
  type ConversationId,
  idToBytes,
  type MessageId,
  type PlaceId,
} from '../../../libs/base/ids.ts';
import { isLetheError } from '../../../libs/base/lethe-error.ts';
import type { EventHeader } from '../../../libs/codec/sealed-event.ts';
import type {
  Author,
  Delivery,
  Identity,
  ReactionDelivery,
} from '../../../libs/conversation/delivery.ts';
import type { DeliveryEntry, DeliveryName } from '../../../libs/deliveries/delivery-ledger.ts';
import { eventRingRefs } from '../../../libs/keyring/event-sealer.ts';
import { openHeaders } from '../../../libs/keyring/open-events.ts';
import { Ring } from '../../../libs/keyring/ring.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import type { App } from '../../../libs/vault/keys/app-registry.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import type { KnownMessage } from './ingest-item.ts';
import { messageIdOf } from './seal-plan.ts';

/** What the ledger calls a delivery: a message is known by source and id alone. */
export function deliveryName(delivery: Delivery): DeliveryName {
  const { source, id, type, body } = delivery;
  if (body.kind === 'message') return messageName(source, id);
  if (body.kind === 'removed') return removalName(source, body.message, body.author);
  const actor = 'identity' in body ? body.identity : actorOf(body.author);
  return { source, id, type, actorChannel: actor.channel, actorExternalId: actor.externalId };
}

function messageName(source: string, id: string): DeliveryName {
  return { source, id, type: 'message', actorChannel: '', actorExternalId: '' };
}

/** One removal of a message by each who may ask for it, however often they do. */
function removalName(source: string, message: string, author: Author): DeliveryName {
  const { channel, externalId } = actorOf(author);
  const actor = { actorChannel: channel, actorExternalId: externalId };
  return { source, id: message, type: 'removal', ...actor };
}

/** Whoever speaks for the business is one actor; no identity is empty. */
function actorOf(author: Author): Identity {
  return author.type === 'user' ? author.identity : { channel: 'business', externalId: '' };
}

/** The name under which the message that a delivery is about may be known. */
export function targetName({ body, source }: Delivery): DeliveryName | undefined {
  return 'message' in body ? messageName(source, body.message) : undefined;
}

/** Removals that take a message as soon as it comes: its author's, and the business's. */
export function removalNames({ body, source, id }: Delivery): DeliveryName[] {
  if (body.kind !== 'message') return [];
  const business = { type: 'business', userId: null, displayName: null, subtypes: [] } as const;
  const authors = body.author.type === 'user' ? [body.author, business] : [business];
  return authors.map((author) => removalName(source, id, author));
}

/**
 * What a delivery says it is, beside its words: another delivery under its id says another. A
 * message that comes again is of the same person, in the same direction and conversation.
 */
export function saidOf({ type, body }: Delivery): string[] {
  const conversation = 'conversation' in body ? body.conversation : null;
  const person = 'identity' in body ? body.identity : personOfBody(body);
  const about = 'message' in body ? body.message : '';
  const what = body.kind === 'receipt' ? body.status : body.kind === 'reacted' ? doneBy(body) : '';
  const where = [conversation?.type ?? '', conversation?.externalId ?? ''];
  return [type, person?.channel ?? '', person?.externalId ?? '', ...where, about, what];
}

const doneBy = ({ action, reaction }: ReactionDelivery) =>
  `${action === 'add' ? '' : `${action} `}${reaction ?? ''}`;

function personOfBody(body: Exclude<Delivery['body'], { identity: Identity }>) {
  if (body.author.type === 'user') return body.author.identity;
  // In a group nobody is meant more than others.
  const isPersonal = body.conversation.type === 'personal';
  return body.kind === 'message' && isPersonal ? body.recipients[0] : undefined;
}

/** For each message: can it no longer be opened, because its person, place or thing is gone? */
export async function areGone(
  powers: Pick<IngestPowers, 'keyring'>,
  app: App,
  messages: readonly Pick<DeliveryEntry, 'owner' | 'place' | 'thing' | 'state'>[],
): Promise<boolean[]> {
  const refs = messages.flatMap(({ owner, place, thing }) =>
    eventRingRefs({ app: app.id, owner, place, thing }).slice(1),
  );
  const leaf = Buffer.alloc(32);
  return powers.keyring.use(refs, async (rings) => {
    const gone = messages.map(({ thing, state }, i) => {
      if (state === 'gone') return true;
      const [owner, place] = [rings[i * 2]!, rings[i * 2 + 1]!];
      if (!(owner instanceof Ring) || !(place instanceof Ring)) return true;
      return !place.writeThingLeaf(idToBytes(thing), leaf);
    });
    leaf.fill(0);
    return gone;
  });
}

/** How many messages are looked for in the views at a time. */
const LOOKS_AT_ONCE = 64;

/** What the views say of a message; `untold`: they cannot be reached, or hold something else. */
export type LookedFor = KnownMessage | 'untold' | undefined;

/** A message as a source and its place name it. */
interface NamedMessage {
  readonly source: string;
  readonly externalId: string;
  readonly place: PlaceId;
}

/**
 * Messages that the ledger does not know, or no longer, as the views have them. Views that cannot
 * be reached keep nothing from being taken in, and what does not lie in its place counts for none.
 */
export async function messagesFromViews(
  powers: Pick<IngestPowers, 'keyring' | 'sealer' | 'views'>,
  app: App,
  wanted: readonly NamedMessage[],
): Promise<LookedFor[]> {
  const refs = wanted.map(({ place: id }) => ({ app: app.id, kind: ringKinds.place, id }));
  const ids = await powers.keyring.use(refs, async (rings) =>
    rings.map((ring, i) =>
      ring instanceof Ring ? messageIdOf(ring.idHmac(), wanted[i]!) : undefined,
    ),
  );
  const found: LookedFor[] = [];
  for (let at = 0; at < ids.length; at += LOOKS_AT_ONCE) {
    const some = ids.slice(at, at + LOOKS_AT_ONCE);
    const looks = some.map((id, i) => id && lookFor(powers, app, { ...wanted[at + i]!, id }));
    found.push(...(await Promise.all(looks)));
  }
  return found;
}

async function lookFor(
  powers: Pick<IngestPowers, 'keyring' | 'sealer' | 'views'>,
  app: App,
  { id, place }: NamedMessage & { readonly id: MessageId },
): Promise<LookedFor> {
  try {
    const view = await powers.views.message(id);
    if (view === undefined) return undefined;
    const [header] = await openHeaders(powers, [view.record]);
    if (header === undefined) return undefined;
    const isIt = header.app === app.id && header.thing === id && header.place === place;
    return isIt ? toKnown(header) : 'untold';
  } catch (error) {
    if (isLetheError(error)) return 'untold';
    throw error;
  }
}

function toKnown(header: EventHeader): KnownMessage {
  const { owner, ownerKind, authorRole, place, thing, eventId } = header;
  const conversation = header.stream as ConversationId;
  return { owner, ownerKind, authorRole, place, thing, eventId, conversation, state: 'kept' };
}
