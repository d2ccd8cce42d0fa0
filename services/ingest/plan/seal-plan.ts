/**
 * Turns plans into sealed records: ids under the place's id key, the announcements a person still
 * needs, and the seal. Rings were opened before; a ring that is gone ends the plan with `gone`.
 */
import type { RecordedAt } from '../../../libs/base/clock.ts';
import {
  type EventId,
  idToBytes,
  type MessageId,
  type PlaceId,
  type SubjectId,
} from '../../../libs/base/ids.ts';
import type { HmacKey } from '../../../libs/codec/hash.ts';
import { labels } from '../../../libs/codec/labels.ts';
import { contentCodecs } from '../../../libs/conversation/event-types.ts';
import type { EventSealer, KeyedHeader, SealedRecord } from '../../../libs/keyring/event-sealer.ts';
import type { RingOutcome } from '../../../libs/keyring/keyring.ts';
import { Ring, type RingRef, ringRefToKey } from '../../../libs/keyring/ring.ts';
import { retentionClasses, ringKinds } from '../../../libs/sealing/tree-path.ts';
import type { App } from '../../../libs/vault/keys/app-registry.ts';
import type { EventDraft, EventName, MessageName, NameDraft, Plan } from './ingest-item.ts';
import { identityDraft, profileDraft } from './plan-parts.ts';
import type { Resolver } from './resolver.ts';

/** Opened rings by reference. */
export type OpenedRings = ReadonlyMap<string, RingOutcome>;

/** What sealing a batch needs. */
export interface SealContext {
  readonly app: App;
  readonly rings: OpenedRings;
  readonly resolver: Resolver;
  readonly sealer: EventSealer;
  nextRecordedAt(): RecordedAt;
}

/** What stays the same when an item is sealed again. */
export interface SealMemory {
  attempt: number;
  /** By place in the list of the item's events. */
  readonly recordedAt: RecordedAt[];
  /** A removal whose message is not there yet: it lies in the ledger now. */
  waits?: true;
}

export interface SealedPlan {
  readonly records: readonly SealedRecord[];
  readonly rings: readonly Ring[];
  /** Id of the item's own event. */
  readonly eventId: EventId;
  /** What the names of those who say it are kept under, also where they were known before. */
  readonly said: readonly KeyedHeader[];
  /** Subjects whose name mark changes once the records are durable. */
  readonly nameMarks: readonly { subject: SubjectId; mark: string; name: string }[];
}

/** References of all rings that a plan may need. */
export function planRingRefs(app: App, plan: Plan, resolver: Resolver): RingRef[] {
  const ref = (kind: RingRef['kind'], id: string) => ({ app: app.id, kind, id });
  const refs = [ref(ringKinds.app, app.id)];
  for (const draft of plan.drafts) {
    refs.push(ref(ringKinds.owner, draft.owner), ref(ringKinds.place, draft.place));
  }
  for (const { subject, name } of plan.names) {
    const known = resolver.subject(subject);
    if (known === undefined || resolver.lastNames.get(subject) === name) continue;
    refs.push(ref(ringKinds.owner, subject), ref(ringKinds.place, known.value.profilePlace));
  }
  for (const { subject } of plan.announcements) {
    const known = resolver.subject(subject);
    if (known === undefined) continue;
    refs.push(ref(ringKinds.owner, subject), ref(ringKinds.place, known.value.recordPlace));
  }
  return refs;
}

/** First 16 bytes of HMAC-SHA-256, as a UUID of version 8 (RFC 9562 section 5.8). */
function nameBasedId(key: HmacKey, fields: readonly (string | Uint8Array)[]): string {
  const id = key.digestFields(labels.eventId, fields).subarray(0, 16);
  id[6] = (id[6]! & 0x0f) | 0x80;
  id[8] = (id[8]! & 0x3f) | 0x80;
  return id.toString('hex');
}

/** Event id = HMAC(id key of the place, label ‖ lp(source, id, type, actor or empty)). */
export function eventIdOf(key: HmacKey, name: EventName, type: string): EventId {
  const actor = name.actor === null ? Buffer.alloc(0) : idToBytes(name.actor);
  return nameBasedId(key, [name.source, name.id, type, actor]) as EventId;
}

/** Message id = the same over (source, externalId, "message"). */
export function messageIdOf(key: HmacKey, name: MessageName): MessageId {
  return nameBasedId(key, [name.source, name.externalId, 'message', '']) as MessageId;
}

/** Seals a plan. `gone`: a ring is away; `forgotten`: its day, class or thing is. */
export function sealPlan(
  plan: Plan,
  memory: SealMemory,
  context: SealContext,
): SealedPlan | 'gone' | 'forgotten' {
  const named = namedDrafts(plan, context);
  if (named === 'gone') return 'gone';
  const drafts = [...plan.drafts, ...named.drafts];
  const records: SealedRecord[] = [];
  const used = new Set<Ring>();
  for (const [i, draft] of drafts.entries()) {
    memory.recordedAt[i] ??= context.nextRecordedAt();
    const at = { attempt: memory.attempt, recordedAt: memory.recordedAt[i] };
    const sealed = sealDraft(draft, at, { context, used });
    if (typeof sealed === 'string') return sealed;
    records.push(sealed);
  }
  const said = saidOf(plan, records, context);
  const own = records[0]?.header.eventId ?? removedOf(plan) ?? plan.stream;
  const eventId = own as string as EventId;
  return { records, said, rings: [...used], eventId, nameMarks: named.marks };
}

function removedOf({ removal }: Plan): string | undefined {
  return removal === undefined || removal === 'waits' ? undefined : removal.thing;
}

function placeRing(context: SealContext, id: PlaceId): Ring | undefined {
  return ringOf(context, ringKinds.place, id);
}

function ringOf(context: SealContext, kind: RingRef['kind'], id: string): Ring | undefined {
  const ring = context.rings.get(ringRefToKey({ app: context.app.id, kind, id }));
  return ring instanceof Ring ? ring : undefined;
}

function sealDraft(
  draft: EventDraft,
  copy: { attempt: number; recordedAt: RecordedAt },
  use: { context: SealContext; used: Set<Ring> },
): SealedRecord | 'gone' | 'forgotten' {
  const { context, used } = use;
  const app = ringOf(context, ringKinds.app, context.app.id);
  const owner = ringOf(context, ringKinds.owner, draft.owner);
  const place = placeRing(context, draft.place);
  if (app === undefined || owner === undefined || place === undefined) return 'gone';
  const key = place.idHmac();
  const { id } = draft;
  const eventId = typeof id === 'string' ? id : eventIdOf(key, id, draft.type);
  const message = (name: MessageName | MessageId) =>
    typeof name === 'string' ? name : messageIdOf(key, name);
  for (const ring of [app, owner, place]) used.add(ring);
  const header = {
    eventId,
    ...copy,
    app: context.app.id,
    type: draft.type,
    stream: draft.stream,
    place: draft.place,
    ownerKind: draft.ownerKind,
    owner: draft.owner,
    thing: draft.thing === 'self' ? eventId : message(draft.thing),
    retentionClass: draft.retentionClass,
    occurredAt: draft.occurredAtMs,
    contentFingerprint: contentCodecs[draft.type].fingerprint,
    attachments: [],
    contentKind: contentKindOf(key, draft.contentKind),
    authorRole: draft.authorRole,
    replyTo: draft.replyTo === null ? null : message(draft.replyTo),
    receiptStatus: draft.receiptStatus,
  };
  const rings = { app, owner, place };
  return context.sealer.seal(header, draft.content, rings);
}

function contentKindOf(key: HmacKey, kind: EventDraft['contentKind']): string | null {
  if (kind === null || typeof kind === 'string') return kind;
  const digest = key.digestFields(labels.fieldName, [kind.kind, kind.name]);
  return `${kind.kind}.${digest.toString('hex', 0, 8)}`;
}

/** Events for identities that were never announced and for display names that changed. */
function namedDrafts(plan: Plan, context: SealContext) {
  const drafts: EventDraft[] = [];
  const marks: { subject: SubjectId; mark: string; name: string }[] = [];
  const occurredAtMs = plan.drafts[0]?.occurredAtMs ?? 0;
  for (const one of plan.announcements) {
    const known = context.resolver.subject(one.subject);
    if (known === undefined) return 'gone';
    const fact = { subject: known.id, value: known.value, occurredAtMs: known.value.createdAt };
    const { channel, externalId } = one;
    drafts.push(identityDraft(fact, one.row, { channel, externalId }));
  }
  for (const name of plan.names) {
    const { resolver } = context;
    const known = resolver.subject(name.subject);
    if (known === undefined) return 'gone';
    const lastName = resolver.lastNames.get(name.subject);
    if (lastName === name.name) continue;
    const place = placeRing(context, known.value.profilePlace);
    if (place === undefined) return 'gone';
    const mark = nameMark(place, name);
    if (lastName === undefined && mark === known.value.nameMark) {
      resolver.lastNames.set(name.subject, name.name);
      continue;
    }
    const id = { source: '', id: `${occurredAtMs}\0${mark}`, actor: known.id };
    const fact = { subject: known.id, value: known.value, id, occurredAtMs };
    drafts.push(profileDraft(fact, 'name', { displayName: name.name }));
    marks.push({ subject: known.id, mark, name: name.name });
    // Seen by the next items of this batch; dropped with all else when the batch fails.
    resolver.lastNames.set(name.subject, name.name);
  }
  return { drafts, marks };
}

/** An answer that repeats who says it is taken back with that person, or their profile. */
function saidOf(
  { drafts, names }: Plan,
  [own]: readonly SealedRecord[],
  { resolver }: SealContext,
): KeyedHeader[] {
  const retentionClass = retentionClasses.ageless;
  const actors = drafts.flatMap(({ id }) => (typeof id === 'string' ? [] : (id.actor ?? [])));
  const subjects = new Set([...actors, ...names.map(({ subject }) => subject)]);
  return [...subjects].flatMap((subject) => {
    const known = resolver.subject(subject);
    if (known === undefined || own === undefined) return [];
    return { ...own.header, owner: known.id, place: known.value.profilePlace, retentionClass };
  });
}

/** HMAC of a channel's display name under the profile place's id key, first 16 bytes. */
function nameMark(place: Ring, name: NameDraft): string {
  const digest = place.idHmac().digestFields(labels.nameMark, [name.channel, name.name]);
  return digest.toString('hex', 0, 16);
}
