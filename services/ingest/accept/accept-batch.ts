/**
 * Accepts a batch of one app: what is known is answered from the ledger, the rest is resolved,
 * sealed, committed and, before anything is acknowledged, checked once more: if a ring that was
 * used was taken away meanwhile, the item is resolved and sealed anew, with a higher attempt.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DAY_MS } from '../../../libs/base/day.ts';
import {
  type LossId,
  type MessageId,
  NO_ID,
  type OwnerId,
  type PlaceId,
  type RequestId,
  type ThingId,
} from '../../../libs/base/ids.ts';
import { randomId } from '../../../libs/base/random.ts';
import { spellerOf } from '../../../libs/conversation/spelling-rules.ts';
import type { DeliveryEntry } from '../../../libs/deliveries/delivery-ledger.ts';
import type { JournalItem, JournalOutcome } from '../../../libs/journal/ingest-journal.ts';
import { type Ring, ringRefToKey } from '../../../libs/keyring/ring.ts';
import { areGone, deliveryName, removalNames, saidOf, targetName } from '../plan/delivery-check.ts';
import { type IngestItem, type Outcome, rejected } from '../plan/ingest-item.ts';
import {
  type AcceptContext,
  type NamedDelivery,
  newEventId,
  type PendingItem,
} from '../plan/pending-item.ts';
import { planBatch } from '../plan/plan-batch.ts';
import type { Resolver } from '../plan/resolver.ts';
import { planRingRefs, sealPlan } from '../plan/seal-plan.ts';
import { answerKnown } from './answer-known.ts';

// An erase that runs takes milliseconds; what still meets a half-erased person after two seconds
// is told to come again.
const ROUNDS_MAX = 24;
const ROUND_WAIT_MS_MAX = 250;
const BUSY = rejected('person_changing', 'something it needs is being erased: send it again', true);

/** Accepts items; the outcomes in their order, all accepted ones durable. */
export async function acceptBatch(
  given: readonly IngestItem[],
  context: AcceptContext,
): Promise<Outcome[]> {
  const speller = await spellerOf(context.resolver.app.spellingRules);
  const items = given.map((item) => {
    if (item.kind !== 'delivery') return item;
    const delivery = speller.delivery(item.delivery);
    return delivery === item.delivery ? item : { ...item, delivery };
  });
  const outcomes = new Array<Outcome | undefined>(items.length);
  const named = await nameAll(items, context);
  let pending: PendingItem[] = items.map((item, index) => {
    const memory = { attempt: 1, recordedAt: [] };
    return { index, item, named: named[index], known: undefined, memory };
  });
  await context.clock.keepAhead();
  // Rounds that answer somebody are not counted: of one delivery very many may have come at once.
  for (let idle = 0; idle < ROUNDS_MAX && pending.length > 0; ) {
    const before = pending.length;
    pending = await acceptRound(pending, outcomes, context);
    if (pending.length < before) continue;
    await sleep(Math.min(2 ** idle, ROUND_WAIT_MS_MAX));
    idle += 1;
  }
  return items.map((_, i) => outcomes[i] ?? BUSY);
}

async function nameAll(
  items: readonly IngestItem[],
  { powers, resolver }: AcceptContext,
): Promise<(NamedDelivery | undefined)[]> {
  const { ledger } = powers;
  const app = resolver.app.id;
  const deliveries = items.flatMap((item) => (item.kind === 'delivery' ? [item.delivery] : []));
  const said = await ledger.sayings(app, deliveries, deliveries.map(saidOf));
  const names = deliveries.map((delivery) => {
    return {
      own: deliveryName(delivery),
      target: targetName(delivery),
      removals: removalNames(delivery),
    };
  });
  const ids = await ledger.names(
    app,
    names.flatMap(({ own, target, removals }) => [own, ...(target ? [target] : []), ...removals]),
  );
  let at = 0;
  let n = 0;
  return items.map((item) => {
    if (item.kind !== 'delivery') return undefined;
    const { target, removals } = names[n]!;
    const own = item.delivery.body.kind === 'removed' ? null : said[n]!;
    n += 1;
    const row = ids[at++]!;
    const about = target && ids[at++];
    at += removals.length;
    return { row, said: own, target: about, removals: ids.slice(at - removals.length, at) };
  });
}

/** One round; what is left for the next is returned. */
async function acceptRound(
  pending: readonly PendingItem[],
  outcomes: (Outcome | undefined)[],
  context: AcceptContext,
): Promise<PendingItem[]> {
  const { fresh, claimed } = await answerKnown(pending, outcomes, context);
  const { ready, later: postponed } = await planBatch(fresh, outcomes, context);
  const later = [...claimed, ...postponed];
  if (ready.length === 0) return later;
  const { powers, resolver } = context;
  await resolver.recordMembers(ready.flatMap(({ plan }) => plan!.members ?? []));
  const refs = new Map(
    ready
      .flatMap(({ plan }) => planRingRefs(resolver.app, plan!, resolver))
      .map((ref) => [ringRefToKey(ref), ref]),
  );
  const again = await powers.keyring.use([...refs.values()], async (opened) => {
    const rings = new Map([...refs.keys()].map((key, i) => [key, opened[i]!]));
    const sealed = sealAll(ready, outcomes, { ...context, rings });
    if (sealed.lost.length > 0) resolver.forget();
    const taken = await commit(sealed.done, outcomes, context);
    const stale = await resealStale(sealed.done, outcomes, context);
    return [...sealed.lost, ...taken, ...stale];
  });
  return [...later, ...again].sort((a, b) => a.index - b.index);
}

function sealAll(
  ready: readonly PendingItem[],
  outcomes: (Outcome | undefined)[],
  context: AcceptContext & { rings: ReadonlyMap<string, Ring | 'erased' | 'absent'> },
): { done: PendingItem[]; lost: PendingItem[] } {
  const { resolver, rings, powers, clock } = context;
  const done: PendingItem[] = [];
  const lost: PendingItem[] = [];
  const { app } = resolver;
  const { sealer } = powers;
  const sealing = { app, rings, resolver, sealer, nextRecordedAt: clock.next };
  for (const one of ready) {
    const sealed = sealPlan(one.plan!, one.memory, sealing);
    if (sealed === 'forgotten') outcomes[one.index] = { status: 'erased' };
    else if (sealed === 'gone') lost.push(one);
    else if (sealed.records.length === 0 && one.plan!.removal === undefined) {
      // Everything it would say is on the log already.
      const { eventId } = sealed;
      outcomes[one.index] = { status: 'accepted', eventId, positions: [], headers: [] };
    } else {
      one.sealed = sealed;
      if (one.plan!.removal !== undefined) {
        // It keeps the id that it was answered with, while it waits and afterwards.
        const eventId = one.known?.entry.eventId ?? newEventId(context);
        one.sealed = { ...sealed, eventId };
      }
      done.push(one);
    }
  }
  return { done, lost };
}

/** Commits sealed items; those whose delivery another writer had first are left. */
async function commit(
  done: readonly PendingItem[],
  outcomes: (Outcome | undefined)[],
  context: AcceptContext,
): Promise<PendingItem[]> {
  if (done.length === 0) return [];
  const { powers, resolver } = context;
  const nowMs = powers.clock.nowMs();
  const day = Math.floor(nowMs / DAY_MS);
  const entries = done.map(toEntry);
  const withRow = done.filter((one) => one.named !== undefined);
  const writes = done.flatMap(({ named, known }, i) =>
    named === undefined ? [] : [{ id: named.row, entry: entries[i]!, ...(known && { known }) }],
  );
  const rows = await powers.ledger.prepare(resolver.app.id, writes, day);
  const rowOf = new Map(withRow.map((one, i) => [one, rows[i]!]));
  const items = await Promise.all(
    done.map((one) => toJournalItem(one, { row: rowOf.get(one), nowMs }, context)),
  );
  let positions: JournalOutcome[];
  try {
    positions = await powers.journal.commit(resolver.app.id, items);
  } catch (error) {
    resolver.forget();
    throw error;
  }
  const left: PendingItem[] = [];
  let wereRemoved = false;
  for (const [i, one] of done.entries()) {
    const placed = positions[i]!;
    if (placed === 'taken') {
      left.push(one);
      one.known = undefined;
      continue;
    }
    const row = rowOf.get(one);
    const entry = entries[i]!;
    one.known = row && { row, entry, isSettled: true };
    if (placed === 'removed') {
      outcomes[one.index] = { status: 'erased' };
      wereRemoved = true;
      continue;
    }
    if (one.plan!.removal === 'waits') {
      // Its message may have come since it was looked for, and not have seen it.
      one.memory.waits = true;
      left.push(one);
      continue;
    }
    const { eventId, records, said } = one.sealed!;
    const headers = [...records.map(({ header }) => header), ...said];
    outcomes[one.index] = { status: 'accepted', eventId, positions: [...placed], headers };
  }
  // Names and identities that it would have told are told by the next.
  if (wereRemoved) resolver.forget();
  const written = (one: PendingItem) => outcomes[one.index]?.status === 'accepted';
  try {
    await rememberAnnouncements(done.filter(written), context);
  } catch {
    // The events are durable and must be acknowledged; an announcement is only written once more.
    resolver.forget();
  }
  return left;
}

function toEntry(one: PendingItem): DeliveryEntry {
  const { plan, sealed, memory, named } = one;
  const { removal, stream: conversation } = plan!;
  const { attempt } = memory;
  const recordedAt = memory.recordedAt[0] ?? ('0'.repeat(16) as DeliveryEntry['recordedAt']);
  const { eventId } = sealed!;
  const common = { eventId, recordedAt, attempt, conversation, said: named?.said ?? null };
  if (removal === 'waits') return { ...common, ...NOBODYS, owner: conversation as OwnerId };
  const { ownerKind, owner, place, thing, authorRole } = sealed!.records[0]?.header ?? removal!;
  return { ...common, ownerKind, owner, place, thing, authorRole, state: 'kept' };
}

const NOBODYS = {
  ownerKind: 'app',
  place: NO_ID as PlaceId,
  thing: NO_ID as ThingId,
  authorRole: null,
  state: 'waiting',
} as const;

async function toJournalItem(
  one: PendingItem,
  write: { row: JournalItem['delivery']; nowMs: number },
  context: AcceptContext,
): Promise<JournalItem> {
  const { sealed, plan } = one;
  const { row, nowMs } = write;
  const { powers, resolver } = context;
  const { trace } = one.item;
  const records =
    trace === undefined ? sealed!.records : sealed!.records.map((record) => ({ ...record, trace }));
  const { removals = [] } = one.named ?? {};
  const item = { records, removals, ...(row && { delivery: row }) };
  const { removal } = plan!;
  if (removal === undefined || removal === 'waits') return item;
  const { conversation, place, thing } = removal;
  const target = { conversation, message: thing as string as MessageId, place };
  const request = await powers.requests.sign({
    // Random: a hash of the delivery would tie whoever removed it to what is kept of the erasure.
    id: newEventId(context) as string as RequestId,
    loss: randomId<LossId>(powers.randomness),
    app: resolver.app.id,
    kind: 'forget-message' as const,
    target,
    step: 'received' as const,
    receivedAtMs: nowMs,
    changedAtMs: nowMs,
  });
  return { ...item, request };
}

/** Tells the directory which identities and names are on the log now. */
async function rememberAnnouncements(
  done: readonly PendingItem[],
  { powers, resolver }: AcceptContext,
): Promise<void> {
  const marks = new Map(
    done.flatMap(({ sealed }) => sealed!.nameMarks.map(({ subject, mark }) => [subject, mark])),
  );
  const rows = new Set(done.flatMap(({ plan }) => plan!.announcements.map((one) => one.row)));
  const people = new Set([
    ...marks.keys(),
    ...done.flatMap(({ plan }) => plan!.announcements.map((one) => one.subject)),
  ]);
  if (people.size === 0) return;
  const changes = new Map(
    [...people].map((subject) => {
      const change: Parameters<Resolver['changed']>[1] = (value) => ({
        ...value,
        nameMark: marks.get(subject) ?? value.nameMark,
        identities: value.identities.map((identity) =>
          rows.has(identity.row) ? { ...identity, announced: true } : identity,
        ),
      });
      resolver.changed(subject, change);
      return [subject, change] as const;
    }),
  );
  await powers.directoryWriter.changeSubjects(resolver.app, changes);
}

/** Items whose rings were taken away since they were sealed: to be resolved and sealed anew. */
async function resealStale(
  done: readonly PendingItem[],
  outcomes: (Outcome | undefined)[],
  { powers, resolver }: AcceptContext,
): Promise<PendingItem[]> {
  const all = new Set(done.flatMap(({ sealed }) => sealed!.rings));
  const stale = new Set(await powers.keyring.revoked([...all], 'now'));
  if (stale.size === 0) return [];
  const touched = done.filter(
    ({ plan, sealed }) => !plan!.removal && sealed!.rings.some((ring) => stale.has(ring)),
  );
  const lost = await areGone(powers, resolver.app, touched.map(toEntry));
  const again = touched.filter((_, i) => lost[i]);
  if (again.length > 0) resolver.forget();
  for (const one of again) {
    if (outcomes[one.index]?.status === 'accepted') outcomes[one.index] = undefined;
    one.memory.attempt += 1;
  }
  return again;
}
