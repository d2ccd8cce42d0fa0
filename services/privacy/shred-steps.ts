/** The first half of each kind of request: key material goes. */
import type { ConversationId, HoldId, PlaceId, SubjectId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import type { RingRef } from '../../libs/keyring/ring.ts';
import { coverDayRange } from '../../libs/sealing/day-range.ts';
import {
  RETENTION_CLASS_MAX,
  retentionClasses,
  ringKinds,
  THING_DEPTH,
  thingPath,
} from '../../libs/sealing/tree-path.ts';
import { personalConversations, type Run, readConversation } from './request-run.ts';

/** Takes the key material away. */
export async function shredOf(run: Run, as: 'asked' | 'restored' = 'asked'): Promise<void> {
  await run.step('shred');
  switch (run.request.kind) {
    case 'erase-subject':
      return shredSubject(run, as);
    case 'merge-subjects':
      return mergeSubjects(run);
    case 'release-hold': {
      const { subject, hold } = run.request.target;
      return run.powers.keyring.release(run.app.id, subject as SubjectId, hold as HoldId);
    }
    case 'clear-profile':
      return shredProfile(run);
    case 'forget-message':
      return shredThing(run, run.request.target.message);
    case 'forget-attachment':
      return shredThing(run, run.request.target.attachment);
    case 'clear-conversation':
      return shredMessages(run);
    case 'delete-conversation':
      return shredConversation(run);
    case 'forget-days':
      return shredDays(run);
    case 'erase-app': {
      const { keyring } = run.powers;
      const ref = { app: run.app.id, kind: ringKinds.app, id: run.app.id };
      return keyring.shred([ref], run.request.id);
    }
  }
}

/** Their own ring first: a hold on it refuses all else. Then whoever was merged with them. */
export async function shredSubject(run: Run, as: 'asked' | 'restored' = 'asked'): Promise<void> {
  const { app, request, powers } = run;
  const { keyring, directory } = powers;
  const ref = (kind: RingRef['kind'], id: string) => ({ app: app.id, kind, id });
  const everybody = [request.target.subject as SubjectId];
  for (const [i, id] of everybody.entries()) {
    // A hold can refuse the first, before anything went; from then on the erasure has won.
    const evenHeld = i > 0 || as === 'restored' ? 'evenHeld' : undefined;
    await keyring.shred([ref(ringKinds.owner, id)], request.id, evenHeld);
    // As the fence has them: a merge that came before it is in it, a later one finds the fence.
    for (const other of await keyring.mergedWith(app.id, id)) {
      if (!everybody.includes(other)) everybody.push(other);
    }
    const [subject] = await directory.subjects(app.id, [id]);
    if (subject === undefined) continue;
    const { value } = subject;
    const conversations = await personalConversations(run, subject);
    const places = [
      value.profilePlace,
      value.recordPlace,
      ...conversations.flatMap((one) => [one.value.messagePlace, one.value.profilePlace]),
    ];
    const refs = places.map((place) => ref(ringKinds.place, place));
    await keyring.shred(refs, request.id);
  }
}

/** When the other was erased first, this one, who turned out to be them, goes too. */
async function mergeSubjects(run: Run): Promise<void> {
  const { subject, other } = run.request.target;
  const of = { discarded: subject as SubjectId, survivor: other as SubjectId };
  const outcome = await run.powers.keyring.merge(run.app.id, of, run.request.id);
  if (outcome === 'erased') await shredSubject(run);
}

async function shredProfile({ powers, app, request }: Run): Promise<void> {
  const of = request.target.subject as SubjectId;
  const place = request.target.place as PlaceId;
  await powers.directory.replacePlace(app, { of, kind: 'profile', place }, request.id);
}

/** The leaf of a message, its edits and reactions; or of an attachment, whose message stays. */
async function shredThing(run: Run, thing: string | undefined): Promise<void> {
  const { powers, app, request } = run;
  const place = request.target.place ?? (await readConversation(run))?.value.messagePlace;
  if (thing === undefined) throw new LetheError('INVARIANT_BROKEN', 'a forget that names nothing');
  if (place === undefined) return;
  const path = thingPath(thing);
  const ref = { app: app.id, kind: ringKinds.place, id: place };
  await powers.keyring.puncture(ref, [{ path, depth: THING_DEPTH }], request.id);
}

async function shredMessages({ powers, app, request }: Run): Promise<void> {
  const of = request.target.conversation as ConversationId;
  const place = request.target.place as PlaceId;
  await powers.directory.replacePlace(app, { of, kind: 'messages', place }, request.id);
}

/** One person's days go from their ring, everybody's from the app's: all classes that age. */
async function shredDays({ powers, app, request }: Run): Promise<void> {
  const { subject, fromDay, toDay, retentionClass } = request.target;
  const taken = [];
  for (let kind: number = retentionClasses.messages; kind <= RETENTION_CLASS_MAX; kind += 1) {
    if (retentionClass !== undefined && kind !== retentionClass) continue;
    taken.push(...coverDayRange(kind, fromDay!, toDay!));
  }
  const isOne = subject !== undefined;
  const ref = isOne
    ? { app: app.id, kind: ringKinds.owner, id: subject }
    : { app: app.id, kind: ringKinds.app, id: app.id };
  await powers.keyring.puncture(ref, taken, request.id);
}

async function shredConversation(run: Run): Promise<void> {
  const { powers, app, request } = run;
  const entry = await readConversation(run);
  if (entry === undefined) return;
  const { messagePlace, profilePlace, kind } = entry.value;
  const refs: RingRef[] = [messagePlace, profilePlace].map((place) => {
    return { app: app.id, kind: ringKinds.place, id: place };
  });
  if (kind === 'sdkGroup') refs.push({ app: app.id, kind: ringKinds.owner, id: entry.id });
  await powers.keyring.shred(refs, request.id);
}
