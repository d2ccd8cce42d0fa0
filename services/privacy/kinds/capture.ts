/**
 * What is taken down in memory before a fence: sealed events and wrapped rings of a person or an
 * app. They are tried after T0, with the means of an attacker who has today's KMS and vault.
 */
import type { PlaceId, SubjectId } from '../../../libs/base/ids.ts';
import { isLetheError } from '../../../libs/base/lethe-error.ts';
import { decodeSealedEvent, type SealedEvent } from '../../../libs/codec/sealed-event.ts';
import type { RingRef } from '../../../libs/keyring/ring.ts';
import type { CapturedRings } from '../../../libs/keyring/ring-capture.ts';
import { recordsBehind } from '../../../libs/projection/views-behind.ts';
import { type RingKind, ringKinds } from '../../../libs/sealing/tree-path.ts';
import type { SubjectEntry } from '../../../libs/vault/directory/directory.ts';
import type { ChangeView } from '../../../libs/views/view-store.ts';
import { personalConversations, type Run, readSubject } from './run.ts';

/** What was taken down before the fence. */
export interface Captures {
  /** What the certificate commits to: the user id, or the app's id. */
  readonly name: string;
  /** The user id to ask for at the doors; null: all of the app is erased. */
  readonly user: string | null;
  readonly events: readonly SealedEvent[];
  /** Are these all events there are? An attack takes a part of very many. */
  readonly isWhole: boolean;
  readonly rings: CapturedRings;
}

const EVENTS_MAX = 100;
const CONVERSATIONS_MAX = 10;
const MESSAGES_MAX = 1_000;
const RECORDS_MAX = 20_000;
const EDITS_MAX = 8;

const named = ({ value }: SubjectEntry) => ({ name: value.alias, user: value.alias });

/** Of an app: its newest events and its ring. */
export async function captureApp(run: Run<'erase-app'>): Promise<Captures> {
  try {
    return await captureWhole(run);
  } catch {
    // As for a person: the erasure goes on, and says so.
    const { id } = run.app;
    return { name: id, user: null, events: [], isWhole: false, rings: NO_RINGS };
  }
}

async function captureWhole({ app, powers }: Run<'erase-app'>): Promise<Captures> {
  const events: SealedEvent[] = [];
  let seen = 0;
  let isWhole = true;
  for await (const record of powers.views.scanRecords()) {
    seen += 1;
    events.push(...tryDecode(record).filter(({ header }) => header.app === app.id));
    isWhole = events.length < EVENTS_MAX && seen < RECORDS_MAX;
    if (!isWhole) break;
  }
  const ref = { app: app.id, kind: ringKinds.app, id: app.id };
  const rings = await powers.ringCapture.capture([ref]);
  const isFence = await powers.keyring.use([ref], async ([ring]) => ring === 'erased');
  isWhole &&= (await recordsBehind(powers)) === 0;
  const captured = { name: app.id, user: null, events, isWhole };
  return { ...captured, rings: isFence ? NO_RINGS : rings };
}

const NO_RINGS: CapturedRings = { count: 0, segmentCount: 0, countOpening: async () => 0 };

/** Of a person: facts about them, their newest messages, their rings. Undefined: they are gone. */
export async function capturePerson(run: Run<'erase-subject'>): Promise<Captures | undefined> {
  const subject = await readSubject(run, run.request.target.subject);
  if (subject === undefined) return undefined;
  try {
    return await captureSubject(run, subject);
  } catch {
    // What cannot be captured keeps nobody's keys alive: the erasure goes on, and says so.
    return { ...named(subject), events: [], isWhole: false, rings: NO_RINGS };
  }
}

async function captureSubject(run: Run<'erase-subject'>, subject: SubjectEntry): Promise<Captures> {
  const { records, isAll } = await recordsOf(run, subject);
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
  const rings = await run.powers.ringCapture.capture([
    owner,
    ...places.map((place) => ringOf(ringKinds.place, place)),
  ]);
  const isFence = await run.powers.keyring.use([owner], async ([ring]) => ring === 'erased');
  // After a crash between fence and end, no ring from before the fence is there to be tried.
  const haveAll = (await recordsBehind(run.powers)) === 0;
  const isWhole = isAll && haveAll && events.length <= EVENTS_MAX;
  const captured = { ...named(subject), events: events.slice(0, EVENTS_MAX), isWhole };
  return { ...captured, rings: isFence ? NO_RINGS : rings };
}

/**
 * Facts about the person, and the newest messages of where they are or were, with what was changed
 * in them. `isAll`: nothing is there beyond that.
 */
async function recordsOf(
  { powers }: Pick<Run, 'powers'>,
  { id, value }: SubjectEntry,
): Promise<{ records: Buffer[]; isAll: boolean }> {
  const { views } = powers;
  const records = (await views.facts(id)).map((fact) => fact.record);
  const everywhere = [...value.conversations, ...value.groups];
  const where = everywhere.slice(0, CONVERSATIONS_MAX);
  let isAll = where.length === everywhere.length;
  for (const conversation of where) {
    const newest = await views.messages(conversation, { limit: MESSAGES_MAX });
    const ids = newest.map(({ message }) => message);
    const changes = await views.changes(ids, { edits: EDITS_MAX });
    isAll &&= newest.length < MESSAGES_MAX && !haveMoreEdits(changes);
    for (const { record } of [...newest, ...changes]) records.push(record);
  }
  return { records, isAll };
}

/** There may be more where as many were given as were asked for. */
function haveMoreEdits(changes: readonly ChangeView[]): boolean {
  const counts = new Map<string, number>();
  for (const { message, kind } of changes) {
    if (kind === 'edit') counts.set(message, (counts.get(message) ?? 0) + 1);
  }
  return [...counts.values()].some((count) => count >= EDITS_MAX);
}

function tryDecode(record: Buffer): SealedEvent[] {
  try {
    return [decodeSealedEvent(record)];
  } catch (error) {
    if (isLetheError(error)) return [];
    throw error;
  }
}

const isAbout = ({ header }: SealedEvent, subject: SubjectId, { app }: Pick<Run, 'app'>) =>
  header.owner === subject && header.app === app.id;
