/** Resolves and plans the items of a batch together, so that look-ups are shared. */

import { msToDay } from '../../../libs/base/day.ts';
import type { ConversationId, IndexId, SubjectId } from '../../../libs/base/ids.ts';
import { isLetheError } from '../../../libs/base/lethe-error.ts';
import type { Delivery, Identity } from '../../../libs/conversation/delivery.ts';
import {
  isTooMuchMetadata,
  type Metadata,
  mergeMetadata,
} from '../../../libs/conversation/field-fold.ts';
import type { KnownDelivery } from '../../../libs/deliveries/delivery-ledger.ts';
import { readPeople } from '../../../libs/people/people.ts';
import { retentionClasses, ringKinds } from '../../../libs/sealing/tree-path.ts';
import { areGone, messagesFromViews } from './delivery-check.ts';
import type {
  Announcement,
  IngestItem,
  KnownMessage,
  Outcome,
  Plan,
  Planned,
  Refusal,
} from './ingest-item.ts';
import { type AcceptContext, newEventId, type PendingItem } from './pending-item.ts';
import { planCommand, REST_SOURCE } from './plan-command.ts';
import { personOf, planDelivery } from './plan-delivery.ts';
import { ID_TAKEN, refusalOf, TOO_MUCH_METADATA } from './refusals.ts';
import {
  agentIdentity,
  type ConversationQuery,
  type KnownConversation,
  type Resolver,
} from './resolver.ts';

interface Batch {
  /** Items with a plan. */
  readonly ready: PendingItem[];
  /** Items that wait for others of the same batch. */
  readonly later: PendingItem[];
}

/** Plans what can be planned; refusals go to `outcomes`. */
export async function planBatch(
  given: readonly PendingItem[],
  outcomes: (Outcome | undefined)[],
  context: AcceptContext,
): Promise<Batch> {
  const { resolver } = context;
  const cut = await findCut(given, context);
  for (const { index } of cut) outcomes[index] = { status: 'erased' };
  const pending = given.filter((one) => !cut.has(one));
  const targets = await findTargets(pending, context);
  const now = pending.filter((one) => targets.get(one) !== 'later');
  const later = pending.filter((one) => targets.get(one) === 'later');
  const dependent = now.filter(({ item }) => isDependent(item));
  const others = now.filter(({ item }) => !isDependent(item));
  const wanted = others.map(({ item }) => ({ item, identities: identitiesOf(item) }));
  await resolver.findOrMakePeople(
    wanted.flatMap((one) => one.identities),
    firstGroups(wanted, resolver),
  );
  await resolver.findPeople(
    dependent.flatMap(({ item }) => [...identitiesOf(item), ...removersOf(item)]),
  );
  await resolver.loadSubjects(now.flatMap(({ item }) => ('subject' in item ? [item.subject] : [])));
  const found = await findPlaces(now, targets, context);
  const refused = now.map(({ item }, i) => {
    return item.kind === 'delivery'
      ? refusalOf(item.delivery, { resolver, ...found[i]! })
      : undefined;
  });
  const meant = now.filter(({ item }, i) => isDependent(item) && refused[i] === undefined);
  await resolver.findOrMakePeople(meant.flatMap(({ item }) => identitiesOf(item)));
  const metadata = await readMetadata(now, context);
  const announced = new Set<IndexId>();
  const ready: PendingItem[] = [];
  for (const [i, one] of now.entries()) {
    // Its message came while it was written down, saw it, and is gone.
    const hasMet = one.memory.waits === true && found[i]!.isGone;
    const planned = hasMet
      ? waited(one, one.known!)
      : (refused[i] ?? tooMuch(one, metadata, resolver) ?? planOne(one, found[i]!, context));
    if (planned === 'later' || isRefused(planned, 'person_changing')) later.push(one);
    else if ('status' in planned) outcomes[one.index] = planned;
    else {
      one.plan = { ...planned, announcements: await announce(one.item, resolver, announced) };
      ready.push(one);
    }
  }
  // Somebody it knew is gone: what the directory says now decides, in the next round.
  if (later.some((one) => targets.get(one) !== 'later')) resolver.forget();
  answerCopies({ now, later, outcomes });
  return { ready, later: later.filter((one) => outcomes[one.index] === undefined) };
}

/** Messages of days that were forgotten for everybody: nobody is made for them. */
async function findCut(
  pending: readonly PendingItem[],
  { powers, resolver }: AcceptContext,
): Promise<Set<PendingItem>> {
  const { id } = resolver.app;
  const ring = { app: id, kind: ringKinds.app, id };
  return powers.keyring.use([ring], async ([found]) => {
    if (typeof found !== 'object') return new Set();
    const isCut = ({ item, known }: PendingItem) => {
      if (item.kind !== 'delivery' || item.delivery.body.kind !== 'message') return false;
      const day = msToDay(item.delivery.occurredAtMs);
      return known === undefined && found.daySeed(retentionClasses.messages, day) === undefined;
    };
    return new Set(pending.filter(isCut));
  });
}

/** Metadata of those to whom items would give more, by person. */
async function readMetadata(
  items: readonly PendingItem[],
  { powers, resolver }: AcceptContext,
): Promise<Map<SubjectId, Metadata>> {
  const subjects = items.flatMap((one) => givenMetadata(one, resolver)?.subject ?? []);
  if (subjects.length === 0) return new Map();
  try {
    const people = await readPeople(powers, resolver.app.id, subjects, 'names');
    return new Map([...people].map(([subject, { profile }]) => [subject, profile.metadata]));
  } catch (error) {
    // Forged facts of one person must not keep others out. It is a bound, and no more than that.
    if (isLetheError(error) && error.code === 'EVENT_TAMPERED') return new Map();
    throw error;
  }
}

function givenMetadata({ item }: PendingItem, resolver: Resolver) {
  const given = item.kind === 'delivery' ? item.delivery.body : item;
  if (given.kind !== 'profile' || given.metadata === '{}') return undefined;
  const subject = 'subject' in given ? given.subject : resolver.person(given.identity)?.id;
  return subject && { subject, json: given.metadata };
}

/** Refuses what would make metadata more than it may be, with all that came before in the batch. */
function tooMuch(
  one: PendingItem,
  metadata: Map<SubjectId, Metadata>,
  resolver: Resolver,
): Refusal | undefined {
  const given = givenMetadata(one, resolver);
  if (given === undefined) return undefined;
  const merged = mergeMetadata(metadata.get(given.subject) ?? new Map(), given.json);
  if (isTooMuchMetadata(merged)) return TOO_MUCH_METADATA;
  metadata.set(given.subject, merged);
  return undefined;
}

/** What is refused leaves no row, by which its copies would be known in the next round. */
function answerCopies({
  now,
  later,
  outcomes,
}: {
  readonly now: readonly PendingItem[];
  readonly later: readonly PendingItem[];
  readonly outcomes: (Outcome | undefined)[];
}): void {
  const nameOf = ({ named }: PendingItem) => named && `${named.row} ${named.said}`;
  const answered = new Map(now.map((one) => [nameOf(one), outcomes[one.index]]));
  for (const one of later) {
    const outcome = one.named && answered.get(nameOf(one));
    if (outcome !== undefined && outcome.status !== 'accepted') outcomes[one.index] = outcome;
  }
}

/** Does it make nobody before it is judged? What is refused leaves nothing behind. */
function isDependent(item: IngestItem): boolean {
  if (item.kind !== 'delivery') return false;
  const { body } = item.delivery;
  return 'message' in body || body.kind === 'left';
}

function isRefused(planned: Planned, code: string): boolean {
  return (
    typeof planned === 'object' &&
    'status' in planned &&
    planned.status === 'rejected' &&
    planned.error.code === code
  );
}

type Target = KnownMessage | 'later' | undefined;

/** Where an item belongs, and what is known of the message that it is, or is about. */
interface Found {
  readonly conversation: KnownConversation | undefined;
  readonly target: KnownMessage | undefined;
  readonly isGone: boolean;
  /** Whether the views have it could not be told. */
  readonly isUntold: boolean;
  /** The item names a conversation that nobody knows; `conversation` is its message's. */
  readonly isElsewhere: boolean;
}

/** Finds the conversations of items, and messages that are older than the ledger. */
async function findPlaces(
  pending: readonly PendingItem[],
  targets: ReadonlyMap<PendingItem, Target>,
  context: AcceptContext,
): Promise<Found[]> {
  const { powers, resolver } = context;
  const places = await findConversations(pending, targets, context);
  const conversations = places.map(({ conversation }) => conversation);
  const wanted = pending.map((one, i) => {
    const place = conversations[i]?.value.messagePlace;
    if (one.item.kind !== 'delivery' || place === undefined) return undefined;
    const { source, id, body } = one.item.delivery;
    if ('message' in body) {
      return targets.has(one) ? undefined : { source, externalId: body.message, place };
    }
    // Its own event may be in the views already where it is taken in once more.
    const isFirst = body.kind === 'message' && one.known === undefined && one.sealed === undefined;
    return isFirst ? { source, externalId: id, place } : undefined;
  });
  const asked = wanted.filter((one) => one !== undefined);
  const shown = await messagesFromViews(powers, resolver.app, asked);
  const looked = pending.map((one, i) => {
    const known = targets.get(one) as KnownMessage | undefined;
    const at = wanted[i] === undefined ? -1 : asked.indexOf(wanted[i]);
    return known ?? shown[at];
  });
  const messages = looked.map((one) => (one === 'untold' ? undefined : one));
  const known = messages.filter((one) => one !== undefined);
  const gone = await areGone(powers, resolver.app, known);
  return pending.map((_, i) => {
    const target = messages[i];
    const isGone = target !== undefined && gone[known.indexOf(target)]!;
    return { ...places[i]!, target, isGone, isUntold: looked[i] === 'untold' };
  });
}

/** What the ledger knows of the messages that items are about. */
async function findTargets(
  pending: readonly PendingItem[],
  { powers, resolver }: AcceptContext,
): Promise<Map<PendingItem, Target>> {
  const targets = new Map<PendingItem, Target>();
  const underWay = new Set<IndexId>();
  const asked: { one: PendingItem; row: IndexId }[] = [];
  for (const one of pending) {
    if (one.named === undefined) continue;
    const { row, target } = one.named;
    // The same delivery twice in one batch: the second is a duplicate of the first.
    if (underWay.has(row)) targets.set(one, 'later');
    underWay.add(row);
    if (target !== undefined) asked.push({ one, row: target });
  }
  for (const { one, row } of asked) if (underWay.has(row)) targets.set(one, 'later');
  const left = asked.filter(({ one }) => !targets.has(one));
  const found = await powers.ledger.find(
    resolver.app.id,
    left.map(({ row }) => row),
  );
  for (const [i, { one }] of left.entries()) {
    const entry = found[i]?.entry;
    if (entry === undefined) continue;
    // A message is a fact about its conversation.
    targets.set(one, { ...entry, conversation: entry.conversation as ConversationId });
  }
  return targets;
}

/** The group that somebody writes in or joins, where it is known: new people are named with it. */
function firstGroups(
  wanted: readonly { item: IngestItem; identities: readonly Identity[] }[],
  resolver: Resolver,
): Map<Identity, ConversationId> {
  const groups = new Map<Identity, ConversationId>();
  for (const { item, identities } of wanted) {
    if (item.kind !== 'delivery' || identities.length === 0) continue;
    const { body, source } = item.delivery;
    const isWriter = body.kind === 'message' && body.author.type === 'user';
    if (!isWriter && body.kind !== 'joined') continue;
    const group = resolver.knownGroup(source, body.conversation);
    if (group !== undefined) groups.set(identities[0]!, group);
  }
  return groups;
}

/** Who asks for a removal: looked up, but never made, since nothing is written about them. */
function removersOf(item: IngestItem): Identity[] {
  if (item.kind !== 'delivery' || item.delivery.body.kind !== 'removed') return [];
  const { author } = item.delivery.body;
  return author.type === 'user' ? [author.identity] : [];
}

/** Identities that an item's plan will ask for. */
function identitiesOf(item: IngestItem): Identity[] {
  if (item.kind === 'delivery') return deliveryIdentities(item.delivery);
  if (item.kind !== 'post' || item.author.type !== 'business') return [];
  const agent = agentIdentity(REST_SOURCE, { ...item.author, type: 'business' });
  return agent === null ? [] : [agent];
}

function deliveryIdentities(delivery: Delivery): Identity[] {
  const { body, source } = delivery;
  if ('identity' in body) return [body.identity];
  if (body.kind === 'removed') return [];
  const { author } = body;
  const agent = agentIdentity(source, author);
  const identities = author.type === 'user' ? [author.identity] : agent === null ? [] : [agent];
  return body.kind === 'message' ? [...identities, ...body.recipients] : identities;
}

async function findConversations(
  pending: readonly PendingItem[],
  targets: ReadonlyMap<PendingItem, Target>,
  { resolver }: AcceptContext,
): Promise<Pick<Found, 'conversation' | 'isElsewhere'>[]> {
  const queries: ConversationQuery[] = [];
  const byId: (ConversationId | undefined)[] = [];
  const queryOf: (number | undefined)[] = [];
  for (const one of pending) {
    const query = conversationQuery(one.item, resolver);
    const target = targets.get(one);
    byId.push(conversationId(one.item, target === 'later' ? undefined : target));
    queryOf.push(query === undefined ? undefined : queries.push(query) - 1);
  }
  const found = await resolver.findOrMakeConversations(queries);
  await resolver.loadConversations(byId.filter((id) => id !== undefined));
  return pending.map((_, i) => {
    const at = queryOf[i];
    const named = at === undefined ? undefined : found[at];
    const id = byId[i];
    const ofMessage = id === undefined ? undefined : resolver.conversation(id);
    return { conversation: named ?? ofMessage, isElsewhere: at !== undefined && !named };
  });
}

/** A conversation that an item names by id, or that the message it is about lies in. */
function conversationId(
  item: IngestItem,
  target: KnownMessage | undefined,
): ConversationId | undefined {
  if (item.kind !== 'delivery') return 'conversation' in item ? item.conversation : undefined;
  return target?.conversation;
}

function conversationQuery(item: IngestItem, resolver: Resolver): ConversationQuery | undefined {
  if (item.kind !== 'delivery') return undefined;
  const { source, body } = item.delivery;
  if (body.kind === 'profile') return undefined;
  const person = conversationPerson(item.delivery, resolver);
  if (body.conversation === null) {
    return undefined;
  }
  const create = body.kind === 'message' || body.kind === 'joined';
  const reference = body.conversation;
  const named = reference.type === 'personal' ? person : null;
  if (reference.type === 'personal' && named === null) return undefined;
  return { source, reference, person: named, create };
}

/** The person of a personal conversation, as far as the delivery names one. */
function conversationPerson({ body }: Delivery, resolver: Resolver) {
  if (body.kind === 'message') {
    const identity = personOf(body);
    return identity === null ? null : (resolver.person(identity)?.id ?? null);
  }
  if ('identity' in body) return resolver.person(body.identity)?.id ?? null;
  if (body.author.type === 'user') return resolver.person(body.author.identity)?.id ?? null;
  return null;
}

function planOne(one: PendingItem, found: Found, context: AcceptContext): Planned {
  const { item } = one;
  const { resolver, powers } = context;
  const { conversation, target, isGone } = found;
  if (item.kind !== 'delivery') {
    const nowMs = powers.clock.nowMs();
    return planCommand(item, {
      resolver,
      conversation,
      nowMs,
      newEventId: () => newEventId(context),
    });
  }
  if (isGone) return { status: 'erased' };
  const planned = planDelivery(item.delivery, { resolver, conversation, target });
  if (typeof planned !== 'object' || 'status' in planned) return planned;
  // The message is nowhere yet: what was asked for stays in the ledger, and is judged with it.
  if (planned.removal === 'waits' && one.known !== undefined) return waited(one, one.known);
  return item.delivery.body.kind === 'message' && target !== undefined
    ? shownAlready(planned, target)
    : planned;
}

function waited({ memory }: PendingItem, { entry }: KnownDelivery): Refusal {
  const { eventId } = entry;
  return memory.waits === true
    ? { status: 'accepted', eventId, positions: [], headers: [] }
    : { status: 'duplicate', eventId };
}

/** The views show a message of this id, whatever the ledger has forgotten. */
function shownAlready({ drafts }: Plan, shown: KnownMessage): Refusal {
  const [own] = drafts;
  const isSame = own!.owner === shown.owner && own!.authorRole === shown.authorRole;
  return isSame ? { status: 'duplicate', eventId: shown.eventId } : ID_TAKEN;
}

/** Identities of an item's people that are not on the log yet. */
async function announce(
  item: IngestItem,
  resolver: Resolver,
  announced: Set<IndexId>,
): Promise<Plan['announcements']> {
  const identities = item.kind === 'identity' ? [item.identity] : identitiesOf(item);
  const announcements: Announcement[] = [];
  for (const identity of identities) {
    const known =
      item.kind === 'identity' ? resolver.subject(item.subject) : resolver.person(identity);
    if (known === undefined || known.value.identities.every((one) => one.announced)) continue;
    const row = await resolver.identityId(identity);
    const open = known.value.identities.some((one) => one.row === row && !one.announced);
    if (!open || announced.has(row)) continue;
    announced.add(row);
    announcements.push({ subject: known.id, row, ...identity });
  }
  return announcements;
}
