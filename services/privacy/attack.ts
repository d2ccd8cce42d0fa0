/**
 * The attack on an erasure before it is called verified: what was captured in memory before the
 * fence is tried after T0, with the means of an attacker who has today's KMS and vault.
 */

import type { AppId, PlaceId, SubjectId } from '../../libs/base/ids.ts';
import { isLetheError, LetheError } from '../../libs/base/lethe-error.ts';
import { decodeSealedEvent, type SealedEvent } from '../../libs/codec/sealed-event.ts';
import type { CapturedRings, PassedHolder } from '../../libs/keyring/keyring.ts';
import { openEvents } from '../../libs/keyring/open-events.ts';
import type { RingRef } from '../../libs/keyring/ring.ts';
import { type RingKind, ringKinds } from '../../libs/sealing/tree-path.ts';
import type { SubjectEntry } from '../../libs/vault/directory/directory.ts';
import type { PrivacyPowers } from '../../libs/wiring/powers.ts';
import { type AttackedDoor, attackDoors } from './attack-doors.ts';
import { personalConversations, type Run, readSubject } from './request-run.ts';

/** What was taken down before the fence. */
export interface Captures {
  /** What the certificate commits to: the user id, or the app's id. */
  readonly name: string;
  /** The user id to ask for at the doors; null: all of the app is erased. */
  readonly user: string | null;
  readonly events: readonly SealedEvent[];
  readonly rings: CapturedRings;
}

/** What was tried after T0, and what came out. */
export interface AttackReport {
  /** Sealed events through the vault's own code with today's KMS: `opened` must be 0. */
  readonly events: { readonly tried: number; readonly opened: number };
  /** Every running holder of keys, asked over HTTP: `opened` must be 0 at each. */
  readonly services: readonly AttackedDoor[];
  /** Captured wrapped rings with today's KMS: they open until the next turn ends that (T1). */
  readonly rings: {
    readonly tried: number;
    readonly segments: number;
    readonly openUntilT1: number;
  };
  readonly notTried: readonly string[];
}

const EVENTS_MAX = 100;
const CONVERSATIONS_MAX = 10;
const MESSAGES_MAX = 1_000;
const RECORDS_MAX = 20_000;

/**
 * Takes down sealed events and wrapped rings of a person or an app; undefined: there is no such
 * person, or it is a lesser request.
 */
export async function capture(run: Run): Promise<Captures | undefined> {
  const { kind } = run.request;
  if (kind === 'erase-app') return captureApp(run);
  if (kind !== 'erase-subject') return undefined;
  try {
    return await capturePerson(run);
  } catch {
    // What cannot be captured keeps nobody's keys alive: the erasure goes on, and says so.
    const subject = await readSubject(run);
    return subject && { ...named(subject), events: [], rings: NO_RINGS };
  }
}

const named = ({ value }: SubjectEntry) => ({ name: value.alias, user: value.alias });

async function captureApp({ app, powers }: Run): Promise<Captures> {
  const events: SealedEvent[] = [];
  let seen = 0;
  for await (const record of powers.views.scanRecords()) {
    seen += 1;
    events.push(...tryDecode(record).filter(({ header }) => header.app === app.id));
    if (events.length === EVENTS_MAX || seen === RECORDS_MAX) break;
  }
  const ref = { app: app.id, kind: ringKinds.app, id: app.id };
  const rings = await powers.keyring.capture([ref]);
  const isFence = await powers.keyring.use([ref], async ([ring]) => ring === 'erased');
  return { name: app.id, user: null, events, rings: isFence ? NO_RINGS : rings };
}

const NO_RINGS: CapturedRings = { count: 0, segmentCount: 0, countOpening: async () => 0 };

async function capturePerson(run: Run): Promise<Captures | undefined> {
  const subject = await readSubject(run);
  if (subject === undefined) return undefined;
  const records = await recordsOf(run, subject);
  const events = records.flatMap(tryDecode).filter((event) => isAbout(event, subject.id, run));
  const ringOf = (kind: RingKind, id: SubjectId | PlaceId): RingRef => ({
    app: run.app.id,
    kind,
    id,
  });
  const owner = ringOf(ringKinds.owner, subject.id);
  const conversations = await personalConversations(run, subject);
  const places = [
    subject.value.profilePlace,
    subject.value.recordPlace,
    ...conversations.map(({ value }) => value.messagePlace),
  ];
  const rings = await run.powers.keyring.capture([
    owner,
    ...places.map((place) => ringOf(ringKinds.place, place)),
  ]);
  const isFence = await run.powers.keyring.use([owner], async ([ring]) => ring === 'erased');
  // After a crash between fence and end, no ring from before the fence is there to be tried.
  const captured = { ...named(subject), events: events.slice(0, EVENTS_MAX) };
  return { ...captured, rings: isFence ? NO_RINGS : rings };
}

/** Facts about the person, and the newest messages of where they are or were. */
async function recordsOf({ powers }: Run, { id, value }: SubjectEntry): Promise<Buffer[]> {
  const { views } = powers;
  const records = (await views.facts(id)).map((fact) => fact.record);
  const where = [...value.conversations, ...value.groups].slice(0, CONVERSATIONS_MAX);
  for (const conversation of where) {
    const newest = await views.messages(conversation, { limit: MESSAGES_MAX });
    for (const view of newest) records.push(view.record);
  }
  return records;
}

function tryDecode(record: Buffer): SealedEvent[] {
  try {
    return [decodeSealedEvent(record)];
  } catch (error) {
    if (isLetheError(error)) return [];
    throw error;
  }
}

const isAbout = ({ header }: SealedEvent, subject: SubjectId, { app }: Run) =>
  header.owner === subject && header.app === app.id;

/**
 * Tries what was captured. Throws ERASURE_UNVERIFIED when one event opens: then the erasure stays
 * open, and whoever asked is told.
 */
export async function attack(
  powers: Pick<PrivacyPowers, 'keyring' | 'accessKeys' | 'clock'>,
  app: AppId,
  of: { readonly captures: Captures; readonly holders: readonly PassedHolder[] },
): Promise<AttackReport> {
  const { keyring } = powers;
  const { captures, holders } = of;
  const contents = await openEvents(keyring, captures.events);
  const opened = contents.filter((content) => content !== undefined);
  for (const content of opened) content.fill(0);
  if (opened.length > 0) {
    const text = `${opened.length} of ${contents.length} captured events open after T0`;
    throw new LetheError('ERASURE_UNVERIFIED', text);
  }
  const { services, notTried } = await attackDoors(powers, app, {
    ...captures,
    isWholeApp: captures.user === null,
    holders,
  });
  const leaking = services.filter((one) => one.opened > 0).map((one) => one.door);
  if (leaking.length > 0) {
    const text = `after T0, ${leaking.join(', ')} still hands out what was erased`;
    throw new LetheError('ERASURE_UNVERIFIED', text);
  }
  return {
    services,
    events: { tried: contents.length, opened: 0 },
    rings: {
      tried: captures.rings.count,
      segments: captures.rings.segmentCount,
      openUntilT1: await captures.rings.countOpening(),
    },
    notTried: [
      ...(captures.rings.count === 0
        ? ['wrapped rings: none could be captured before the fence']
        : []),
      ...notTried,
      'answers that were given before: they are with whoever asked',
      'log, views and backups that lie elsewhere: their events are under the keys that were tried',
    ],
  };
}
