/** Resolves and plans the items of a batch together, so that look-ups are shared. */
import type { ConversationId, IndexId } from '../../../libs/base/ids.ts';
import type { Delivery, Identity } from '../../../libs/conversation/delivery.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import { areGone, type KnownMessage, messageFromViews, targetNames } from './delivery-check.ts';
import type { Announcement, IngestItem, Outcome, Plan, Planned } from './ingest-item.ts';
import { type AcceptContext, newEventId, type PendingItem } from './pending-item.ts';
import { planCommand, REST_SOURCE } from './plan-command.ts';
import { GONE, personOf, planDelivery } from './plan-delivery.ts';
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
  pending: readonly PendingItem[],
  outcomes: (Outcome | undefined)[],
  context: AcceptContext,
): Promise<Batch> {
  const { resolver } = context;
  const targets = await findTargets(pending, context);
  const now = pending.filter((one) => targets.get(one) !== 'later');
  const later = pending.filter((one) => targets.get(one) === 'later');
  // What is about a message makes nobody before that message's conversation was found: a refused
  // event leaves nothing behind.
  const dependent = now.filter(({ item }) => isAboutMessage(item));
  const others = now.filter(({ item }) => !isAboutMessage(item));
  const wanted = others.map(({ item }) => ({ item, identities: identitiesOf(item) }));
  await resolver.findOrMakePeople(
    wanted.flatMap((one) => one.identities),
    firstGroups(wanted, resolver),
  );
  await resolver.findPeople(
    dependent.flatMap(({ item }) => [...identitiesOf(item), ...removersOf(item)]),
  );
  await resolver.loadSubjects(now.flatMap(({ item }) => ('subject' in item ? [item.subject] : [])));
  const conversations = await findConversations(now, targets, context);
  const placed = now.filter((one, i) => isAboutMessage(one.item) && conversations[i] !== undefined);
  await resolver.findOrMakePeople(placed.flatMap(({ item }) => identitiesOf(item)));
  const announced = new Set<IndexId>();
  const ready: PendingItem[] = [];
  for (const [i, one] of now.entries()) {
    const conversation = conversations[i];
    const planned = await planOne(one, { conversation, target: targets.get(one) }, context);
    if (planned === 'later' || isRefused(planned, 'person_changing')) later.push(one);
    else if (isRefused(planned, 'conversation_mismatch') && (await isOfGone(conversation, context)))
      outcomes[one.index] = GONE;
    else if ('status' in planned) outcomes[one.index] = planned;
    else {
      one.plan = { ...planned, announcements: await announce(one.item, resolver, announced) };
      ready.push(one);
    }
  }
  // Somebody it knew is gone: what the directory says now decides, in the next round.
  if (later.some((one) => targets.get(one) !== 'later')) resolver.forget();
  return { ready, later };
}

function isAboutMessage(item: IngestItem): boolean {
  return item.kind === 'delivery' && 'message' in item.delivery.body;
}

function isRefused(planned: Planned, code: string): boolean {
  return (
    typeof planned === 'object' &&
    'status' in planned &&
    planned.status === 'rejected' &&
    planned.error.code === code
  );
}

/** Is it of somebody whose erasure is under way? Its name still leads to it, but not for long. */
async function isOfGone(
  conversation: KnownConversation | undefined,
  { powers, resolver }: AcceptContext,
): Promise<boolean> {
  const person = conversation?.value.person;
  if (person === null || person === undefined) return false;
  const ref = { app: resolver.app.id, kind: ringKinds.owner, id: person };
  return powers.keyring.use([ref], async ([outcome]) => outcome === 'erased');
}

type Target = KnownMessage | 'later' | undefined;

/** What the ledger knows of the messages that items are about. */
async function findTargets(
  pending: readonly PendingItem[],
  { powers, resolver }: AcceptContext,
): Promise<Map<PendingItem, Target>> {
  const targets = new Map<PendingItem, Target>();
  const underWay = new Set<IndexId>();
  const asked: { one: PendingItem; rows: IndexId[] }[] = [];
  for (const one of pending) {
    if (one.row !== undefined) {
      // The same delivery twice in one batch: the second is a duplicate of the first.
      if (underWay.has(one.row)) targets.set(one, 'later');
      underWay.add(one.row);
    }
    if (one.item.kind !== 'delivery') continue;
    const names = targetNames(one.item.delivery);
    if (names.length === 0) continue;
    asked.push({ one, rows: await powers.ledger.names(resolver.app.id, names) });
  }
  for (const { one, rows } of asked) {
    if (rows.some((row) => underWay.has(row) && row !== one.row)) {
      targets.set(one, 'later');
      continue;
    }
    const found = await powers.ledger.find(resolver.app.id, rows);
    const entry = found.find((known) => known !== undefined)?.entry;
    if (entry === undefined || targets.has(one)) continue;
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
  return author?.type === 'user' ? [author.identity] : [];
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
): Promise<(KnownConversation | undefined)[]> {
  const queries: ConversationQuery[] = [];
  const byId: (ConversationId | undefined)[] = [];
  const queryOf: (number | undefined)[] = [];
  for (const one of pending) {
    const query = conversationQuery(one.item, resolver);
    const target = targets.get(one);
    byId.push(conversationId(one.item, query, target === 'later' ? undefined : target));
    queryOf.push(query === undefined ? undefined : queries.push(query) - 1);
  }
  const found = await resolver.findOrMakeConversations(queries);
  await resolver.loadConversations(byId.filter((id) => id !== undefined));
  return pending.map((_, i) => {
    const id = byId[i];
    if (id !== undefined) return resolver.conversation(id);
    const at = queryOf[i];
    return at === undefined ? undefined : found[at];
  });
}

/** A conversation that an item names by id, or that the message it is about lies in. */
function conversationId(
  item: IngestItem,
  query: ConversationQuery | undefined,
  target: KnownMessage | undefined,
): ConversationId | undefined {
  if (item.kind !== 'delivery') return 'conversation' in item ? item.conversation : undefined;
  return query === undefined ? target?.conversation : undefined;
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
  if (reference.externalId === null && named === null) return undefined;
  return { source, reference, person: named, create };
}

/** The person of a personal conversation, as far as the delivery names one. */
function conversationPerson({ body }: Delivery, resolver: Resolver) {
  if (body.kind === 'message') {
    const identity = personOf(body);
    return identity === null ? null : (resolver.person(identity)?.id ?? null);
  }
  if ('identity' in body) return resolver.person(body.identity)?.id ?? null;
  if (body.author?.type === 'user') return resolver.person(body.author.identity)?.id ?? null;
  return null;
}

async function planOne(
  one: PendingItem,
  found: { conversation: KnownConversation | undefined; target: Target },
  context: AcceptContext,
): Promise<Planned> {
  const { item } = one;
  const { resolver, powers } = context;
  const { conversation } = found;
  if (item.kind !== 'delivery') {
    const nowMs = powers.clock.nowMs();
    return planCommand(item, {
      resolver,
      conversation,
      nowMs,
      newEventId: () => newEventId(context),
    });
  }
  let target = found.target === 'later' ? undefined : found.target;
  const { body, source } = item.delivery;
  if ('message' in body && conversation !== undefined) {
    const place = conversation.value.messagePlace;
    const externalId = body.message;
    target ??= await messageFromViews(powers, resolver.app, { source, externalId, place });
    if (target !== undefined) {
      const [isGone] = await areGone(powers, resolver.app, [target]);
      if (isGone) return { status: 'erased' };
    }
  }
  return planDelivery(item.delivery, { resolver, conversation, target });
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
