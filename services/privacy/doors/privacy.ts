/** The privacy service: takes requests, carries them out at once, and finishes interrupted ones. */

import type {
  AppId,
  ConversationId,
  HoldId,
  LossId,
  MessageId,
  RequestId,
  SubjectId,
} from '../../../libs/base/ids.ts';
import { isLetheError } from '../../../libs/base/lethe-error.ts';
import { randomId, randomUuidV7 } from '../../../libs/base/random.ts';
import { isDamage } from '../../../libs/keyring/past-damage.ts';
import { assertFenced } from '../../../libs/people/find-subject.ts';
import { isSameRequest, standing, takenOf } from '../../../libs/requests/erasure-list.ts';
import type {
  DayRange,
  PrivacyRequest,
  RequestKind,
  RequestTargets,
} from '../../../libs/requests/request.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import { held } from '../../../libs/vault/taking/shred-rows.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { findThing } from '../kinds/find-thing.ts';
import { carryOut, type Done } from '../life/carry-out.ts';
import { issuedBefore } from '../life/certificate.ts';
import { type HoldOutcome, holdSubject } from './hold-subject.ts';

/** The id of the erasure, or why there was nothing to take. */
export type PrivacyOutcome =
  | ({ readonly status: 'done'; readonly erasure: RequestId } & Done)
  | { readonly status: 'erased' }
  | { readonly status: 'notFound' }
  | { readonly status: 'refused'; readonly reason: string }
  /** Of many: this one stays open and is tried again. */
  | { readonly status: 'failed'; readonly failure: unknown };

/** Each call resolves when key material is gone durably and no running process can use it. */
export interface Privacy {
  eraseSubject(app: AppId, subject: SubjectId): Promise<PrivacyOutcome>;
  /** Many people, who share the wait for T0; one that fails keeps nobody else. */
  eraseSubjects(app: AppId, subjects: readonly SubjectId[]): Promise<PrivacyOutcome[]>;
  /** Names, e-mail, picture, metadata; identities and conversations stay. */
  clearProfile(app: AppId, subject: SubjectId): Promise<PrivacyOutcome>;
  /**
   * A message with its edits and everybody's reactions. Refused when another message would go with
   * it, because their keys share a leaf: two of n messages do with chance n / 2^40.
   */
  forgetMessage(
    app: AppId,
    conversation: ConversationId,
    message: MessageId,
  ): Promise<PrivacyOutcome>;
  /** An attachment; the message that it belongs to stays. Refused like a message. */
  forgetAttachment(
    app: AppId,
    thing: { conversation: ConversationId; message: MessageId; attachment: string },
  ): Promise<PrivacyOutcome>;
  /** All messages; the conversation can be used again. */
  clearConversation(app: AppId, conversation: ConversationId): Promise<PrivacyOutcome>;
  /** The conversation itself; a person's default one can only be cleared. */
  deleteConversation(app: AppId, conversation: ConversationId): Promise<PrivacyOutcome>;
  /** Days, both included, of one person or (without a subject) of everybody in the app. */
  forgetDays(app: AppId, days: Days): Promise<PrivacyOutcome>;
  eraseApp(app: AppId): Promise<PrivacyOutcome>;
  /** From when it resolves, nothing takes what is the person's, or whom they are merged with. */
  hold(app: AppId, subject: SubjectId, hold?: HoldId): Promise<HoldOutcome>;
  release(app: AppId, subject: SubjectId, hold: HoldId): Promise<PrivacyOutcome>;
  /** Two turn out to be one: erasing or holding either does so to both. */
  merge(
    app: AppId,
    discarded: SubjectId,
    survivor: SubjectId,
  ): Promise<'merged' | 'erased' | 'absent'>;
}

/** Days; only of one person, and only of one retention class, if those are named. */
export type Days = DayRange & { readonly subject?: SubjectId; readonly retentionClass?: number };

const TOGETHER_MAX = 100;
/** Requests that are open at once. */
const OPEN_MAX = 10_000;
const GONE: PrivacyOutcome = { status: 'erased' };

/** Opens the service over its powers. */
export function createPrivacy(powers: PrivacyPowers): Privacy {
  const { directory } = powers;

  async function request<Kind extends RequestKind>(
    app: AppId,
    kind: Kind,
    target: RequestTargets[Kind],
  ): Promise<PrivacyOutcome> {
    const [outcome] = await requestAll(powers, app, [{ kind, target } as Wanted]);
    if (outcome!.status === 'failed') throw outcome!.failure;
    return outcome!;
  }

  async function conversationOf(app: AppId, id: ConversationId) {
    const [entry] = await directory.conversations(app, [id]);
    return entry;
  }

  return {
    async eraseSubject(app, subject) {
      const [entry] = await directory.subjects(app, [subject]);
      if (entry === undefined) {
        await assertFenced(powers, app, subject);
        return { status: 'erased' };
      }
      return request(app, 'erase-subject', await personTarget(powers, app, subject));
    },
    eraseSubjects: (app, subjects) => eraseSubjects(powers, app, subjects),
    async clearProfile(app, subject) {
      const [entry] = await directory.subjects(app, [subject]);
      if (entry === undefined) return { status: 'erased' };
      return request(app, 'clear-profile', { subject, place: entry.value.profilePlace });
    },
    async forgetMessage(app, conversation, message) {
      const found = await findThing(powers, app, { conversation, message });
      if ('status' in found) return found;
      return request(app, 'forget-message', { conversation, message, ...found });
    },
    async forgetAttachment(app, of) {
      const found = await findThing(powers, app, of);
      return 'status' in found ? found : request(app, 'forget-attachment', { ...of, ...found });
    },
    async clearConversation(app, conversation) {
      const entry = await conversationOf(app, conversation);
      if (entry === 'erased') return { status: 'erased' };
      if (entry === undefined) return { status: 'notFound' };
      const place = entry.value.messagePlace;
      return request(app, 'clear-conversation', { conversation, place });
    },
    async deleteConversation(app, conversation) {
      const entry = await conversationOf(app, conversation);
      if (entry === 'erased') return { status: 'erased' };
      if (entry === undefined) return { status: 'notFound' };
      if (entry.value.isDefault) {
        return { status: 'refused', reason: 'the default conversation can only be cleared' };
      }
      const { messagePlace, profilePlace } = entry.value;
      const places = [messagePlace, profilePlace];
      return request(app, 'delete-conversation', { conversation, places });
    },
    async forgetDays(app, days) {
      if (days.subject === undefined) return request(app, 'forget-days', { ...days });
      const [entry] = await directory.subjects(app, [days.subject]);
      if (entry === undefined) return { status: 'erased' };
      return request(app, 'forget-days', { ...days });
    },
    async eraseApp(app) {
      if ((await powers.apps.find(app)) === undefined) {
        return { status: (await powers.apps.wasErased(app)) ? 'erased' : 'notFound' };
      }
      return request(app, 'erase-app', {});
    },
    hold: (app, subject, hold) => holdSubject(powers, app, { subject, hold }),
    async release(app, subject, hold) {
      // Else what the hold kept of another would count as taken.
      if (!(await powers.keyringHold.hasMark(app, subject, hold))) return { status: 'notFound' };
      return request(app, 'release-hold', { subject, hold });
    },
    merge: (app, discarded, survivor) => mergeSubjects(powers, app, { discarded, survivor }),
  };
}

/** A person, with whom they were merged: that must be known when a row of theirs is damaged. */
async function personTarget(
  { keyringHold }: PrivacyPowers,
  app: AppId,
  subject: SubjectId,
): Promise<RequestTargets['erase-subject']> {
  const everybody = await keyringHold.mergedWith(app, subject).catch((error) => {
    if (isDamage(error)) return [];
    throw error;
  });
  const merged = everybody.filter((one) => one !== subject);
  return { subject, ...(merged.length > 0 && { merged }) };
}

async function mergeSubjects(
  powers: PrivacyPowers,
  app: AppId,
  pair: { discarded: SubjectId; survivor: SubjectId },
): Promise<'merged' | 'erased' | 'absent'> {
  const refs = [pair.discarded, pair.survivor].map((id) => ({ app, kind: ringKinds.owner, id }));
  const outcomes = () => powers.keyring.use(refs, async (rings) => rings);
  if ((await outcomes()).includes('absent')) return 'absent';
  const target = { subject: pair.discarded, other: pair.survivor };
  const [outcome] = await requestAll(powers, app, [{ kind: 'merge-subjects', target }]);
  if (outcome?.status === 'failed') throw outcome.failure;
  return (await outcomes())[0] === 'erased' ? 'erased' : 'merged';
}

/** A kind with the target that belongs to it. */
type Wanted = Pick<PrivacyRequest, 'kind' | 'target'>;

async function requestAll(
  powers: PrivacyPowers,
  app: AppId,
  wanted: readonly Wanted[],
): Promise<PrivacyOutcome[]> {
  const nowMs = powers.clock.nowMs();
  const times = { receivedAtMs: nowMs, changedAtMs: nowMs };
  const made = wanted.map(({ kind, target }) => {
    const id = randomUuidV7(powers.randomness, nowMs) as string as RequestId;
    // With the time in it, as that has it, both could be joined.
    const loss = randomId<LossId>(powers.randomness);
    return { id, loss, app, kind, target, step: 'begun', ...times } as PrivacyRequest;
  });
  // Without it nothing could begin, and what was recorded would be done when nobody is told.
  await powers.erasures.assertOwn();
  await powers.certificates.assertReady();
  const since = await powers.erasures.head();
  for (const one of made) await powers.requests.add(one);
  const before = await findOpenSame(powers, made);
  const own = made.filter(({ id }) => !before.has(id));
  const carried = await carryOut(powers, own, 'asked', since);
  const outcomes = new Map<RequestId, PrivacyOutcome>();
  const joined = new Map(before);
  for (const [i, one] of carried.entries()) {
    const { id } = own[i]!;
    if ('joined' in one) joined.set(id, one.joined);
    else outcomes.set(id, outcomeOf(id, one));
  }
  for (const one of made.filter(({ id }) => joined.has(id))) {
    outcomes.set(one.id, await joinRequest(powers, one, joined.get(one.id)!));
  }
  return made.map(({ id }) => outcomes.get(id)!);
}

function outcomeOf(erasure: RequestId, carried: Done | { failure: unknown }): PrivacyOutcome {
  if (!('failure' in carried)) return { status: 'done', erasure, ...carried };
  const { failure } = carried;
  if (isLetheError(failure, 'HELD')) return { status: 'refused', reason: failure.message };
  return { status: 'failed', failure };
}

/**
 * Requests that are under way for the same, by those that were made now. One that is not on the
 * list of erasures yet is told apart there: whoever is on it first goes on.
 */
async function findOpenSame(
  { requests, erasures }: PrivacyPowers,
  made: readonly PrivacyRequest[],
): Promise<ReadonlyMap<RequestId, RequestId>> {
  const own = new Set(made.map(({ id }) => id));
  const open = (await requests.open(OPEN_MAX)).filter((one) => !(own.has(one.id) || one.isForged));
  const pairs = made.flatMap((one) => {
    const same = open.filter((other) => isSameRequest(one, other));
    return same.map((other) => [one.id, other.id] as const);
  });
  if (pairs.length === 0) return new Map();
  const listed = new Set(standing(await erasures.read()).map(({ id }) => id));
  return new Map(pairs.filter(([, other]) => listed.has(other)));
}

/** Goes on with another request for the same, beside whoever has begun it, or in their place. */
async function joinRequest(
  powers: PrivacyPowers,
  own: PrivacyRequest,
  other: RequestId,
): Promise<PrivacyOutcome> {
  await powers.requests.drop(own.id);
  const request = await powers.requests.get(other);
  const isRefused = async () => !takenOf(await powers.erasures.read()).has(other);
  if (request === undefined && (await isRefused())) {
    return { status: 'refused', reason: held().message };
  }
  if (request === undefined || request.step === 'done') {
    const certificate = await issuedBefore(powers, { ...own, id: other });
    const t0 = await powers.holders.passHolders();
    return { status: 'done', erasure: other, t0, ...(certificate && { certificate }) };
  }
  // From the step that it has reached: before it takes anything, holds are looked at.
  const [carried] = await carryOut(powers, [request], 'asked', 'listed');
  return outcomeOf(other, carried as Exclude<typeof carried, undefined | { joined: unknown }>);
}

async function eraseSubjects(
  powers: PrivacyPowers,
  app: AppId,
  subjects: readonly SubjectId[],
): Promise<PrivacyOutcome[]> {
  const outcomes = new Map<SubjectId, PrivacyOutcome>();
  for (let at = 0; at < subjects.length; at += TOGETHER_MAX) {
    const part = [...new Set(subjects.slice(at, at + TOGETHER_MAX))];
    const entries = await powers.directory.subjects(app, part);
    const living = part.filter((_, i) => entries[i] !== undefined);
    for (const subject of part) if (!living.includes(subject)) outcomes.set(subject, GONE);
    const wanted: Wanted[] = [];
    for (const subject of living) {
      const target = await personTarget(powers, app, subject);
      wanted.push({ kind: 'erase-subject', target });
    }
    for (const [i, outcome] of (await requestAll(powers, app, wanted)).entries()) {
      outcomes.set(living[i]!, outcome);
    }
  }
  return subjects.map((subject) => outcomes.get(subject)!);
}
