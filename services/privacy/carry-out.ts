/**
 * Carries out requests in two halves: first key material goes, then, when no running process can
 * use it any more (T0), everything else. Every step is recorded before it is done, is durable when
 * it ends and can be repeated, so that a request that was interrupted anywhere is finished by
 * running it again.
 */

import type { PrivacyPowers } from '../../libs/backends/powers.ts';
import {
  type ConversationId,
  type ErasureId,
  idToBytes,
  type MessageId,
  type PlaceId,
  type SubjectId,
} from '../../libs/base/ids.ts';
import { sha256 } from '../../libs/codec/hash.ts';
import { labels } from '../../libs/codec/labels.ts';
import type { LossRecorded } from '../../libs/conversation/event-types.ts';
import type { PassedHolders } from '../../libs/keyring/keyring.ts';
import type { RingRef } from '../../libs/keyring/ring.ts';
import type { PrivacyRequest } from '../../libs/requests/request-store.ts';
import { ringKinds, THING_DEPTH, thingPath } from '../../libs/sealing/tree-path.ts';
import type { App } from '../../libs/vault/app-registry.ts';
import type { ConversationEntry, SubjectEntry } from '../../libs/vault/directory.ts';
import { rowKinds } from '../../libs/vault/vault-store.ts';
import { type LossType, recordLoss } from './record-loss.ts';

/** One request under way. */
interface Run {
  readonly powers: PrivacyPowers;
  readonly app: App;
  readonly request: PrivacyRequest;
  /** Records that a step begins. */
  step(name: string): Promise<void>;
}

/** What came of one request: how T0 was reached, or why it stays open. */
export type Carried = PassedHolders | { readonly failure: unknown };

/** Carries requests out to their end; they share the wait for T0. */
export async function carryOut(
  powers: PrivacyPowers,
  requests: readonly PrivacyRequest[],
): Promise<Carried[]> {
  const failures = new Map<PrivacyRequest, unknown>();
  const attempt = async (request: PrivacyRequest, work: (run: Run) => Promise<void>) => {
    if (failures.has(request)) return;
    try {
      const run = await openRun(powers, request);
      if (run !== undefined) await work(run);
    } catch (error) {
      failures.set(request, error);
    }
  };
  // Before anything goes: a restore must know of it even if this process ends here.
  await powers.erasures.add(
    requests.map(({ id, app, kind, target }) => {
      return { id, app, kind, target, atMs: powers.clock.nowMs() };
    }),
  );
  for (const request of requests) await attempt(request, shredOf);
  const passed = await powers.keyring.passHolders();
  for (const request of requests) {
    await attempt(request, finishOf);
    if (failures.has(request)) continue;
    // An app that was erased took everything in it along.
    if (request.kind === 'erase-app') await finishApp(powers, request);
    await powers.requests.record(request.id, 'done', powers.clock.nowMs());
  }
  return requests.map((request) =>
    failures.has(request) ? { failure: failures.get(request) } : passed,
  );
}

async function openRun(powers: PrivacyPowers, request: PrivacyRequest): Promise<Run | undefined> {
  const { requests, clock, apps } = powers;
  const step = (name: string) => requests.record(request.id, name, clock.nowMs());
  const app = await apps.find(request.app);
  return app && { powers, app, request, step };
}

/** Takes the key material away. */
async function shredOf(run: Run): Promise<void> {
  await run.step('shred');
  switch (run.request.kind) {
    case 'erase-subject':
      return shredSubject(run);
    case 'clear-profile':
      return shredProfile(run);
    case 'forget-message':
      return shredMessage(run);
    case 'clear-conversation':
      return shredMessages(run);
    case 'delete-conversation':
      return shredConversation(run);
    case 'erase-app': {
      const { keyring } = run.powers;
      const ref = { app: run.app.id, kind: ringKinds.app, id: run.app.id };
      return keyring.shred([ref], run.request.id);
    }
  }
}

/** Tells consumers and takes the names away. */
async function finishOf(run: Run): Promise<void> {
  await run.step('finish');
  const { request } = run;
  const { conversation, message } = request.target;
  switch (request.kind) {
    case 'erase-subject':
      return finishSubject(run);
    case 'clear-profile':
      return finishProfile(run);
    case 'forget-message': {
      const content = { conversation: conversation!, message: message! };
      return record(run, 'MessageForgotten', content);
    }
    case 'clear-conversation':
      return record(run, 'ConversationCleared', { conversation: conversation! });
    case 'delete-conversation':
      return finishConversation(run);
    case 'erase-app':
      return;
  }
}

async function record(run: Run, type: LossType, content: Partial<LossRecorded>): Promise<void> {
  await recordLoss(run.powers, run.app, { id: run.request.id, type, content });
}

async function readSubject({ powers, app, request }: Run): Promise<SubjectEntry | undefined> {
  const [subject] = await powers.directory.subjects(app.id, [request.target.subject as SubjectId]);
  return subject;
}

async function personalConversations(
  { powers, app }: Run,
  { value }: SubjectEntry,
): Promise<ConversationEntry[]> {
  const found = await powers.directory.conversations(app.id, value.conversations);
  return found.filter((one): one is ConversationEntry => typeof one === 'object');
}

async function shredSubject(run: Run): Promise<void> {
  const { app, request, powers } = run;
  const subject = await readSubject(run);
  if (subject === undefined) return;
  const { value } = subject;
  const conversations = await personalConversations(run, subject);
  const places = [
    value.profilePlace,
    value.recordPlace,
    ...conversations.flatMap((one) => [one.value.messagePlace, one.value.profilePlace]),
  ];
  const ref = (kind: RingRef['kind'], id: string) => ({ app: app.id, kind, id });
  await powers.keyring.shred([ref(ringKinds.owner, subject.id)], request.id);
  await powers.keyring.shred(
    places.map((place) => ref(ringKinds.place, place)),
    request.id,
  );
}

/**
 * The subject's own row leads to all else and goes last: as long as it is there, every step can be
 * repeated; when it is gone, all was done.
 */
async function finishSubject(run: Run): Promise<void> {
  const { powers, app, request } = run;
  const { directory } = powers;
  const subject = await readSubject(run);
  if (subject === undefined) return;
  const { value, id } = subject;
  await record(run, 'SubjectErased', { user: value.alias });
  for (const group of value.groups) await endForsakenGroup(run, group);
  const names = value.identities.map(({ row }) => ({ kind: rowKinds.identity, id: row }));
  await directory.removeReferences(app, names, id);
  for (const one of await personalConversations(run, subject)) await removeConversation(run, one);
  const alias = (await directory.names(app.id)).alias(value.alias);
  await directory.mark(app, { kind: rowKinds.alias, id: alias }, request.id);
  if (await directory.removeSubject(subject)) return;
  // A conversation that was made meanwhile is in a newer row: then all is done once more.
  await shredSubject(run);
  await powers.keyring.passHolders();
  await finishSubject(run);
}

/** A group goes with the last person who ever joined it or wrote in it. */
async function endForsakenGroup(run: Run, id: ConversationId): Promise<void> {
  const { powers, app, request } = run;
  const [group] = await powers.directory.conversations(app.id, [id]);
  if (typeof group !== 'object') return;
  if ((await powers.directory.shredForsakenGroup(app, group, request.id)) === 'kept') return;
  await powers.keyring.passHolders();
  const fact = { id: lossOf(request.id, id), type: 'ConversationDeleted' as const };
  await recordLoss(powers, app, { ...fact, content: { conversation: id } });
  await removeConversation(run, group);
}

/** The id of a further fact of one erasure: the same whenever the step is repeated. */
function lossOf(erasure: ErasureId, conversation: ConversationId): ErasureId {
  const bytes = Buffer.concat([labels.loss, idToBytes(erasure), idToBytes(conversation)]);
  return sha256(bytes).toString('hex', 0, 16) as ErasureId;
}

/** Takes the names of a conversation away and leaves a marker that names nobody. */
async function removeConversation(run: Run, entry: ConversationEntry): Promise<void> {
  const { powers, app, request } = run;
  const { externalRow } = entry.value;
  if (externalRow !== null) {
    const row = { kind: rowKinds.externalConversation, id: externalRow };
    await powers.directory.removeReferences(app, [row], entry.id);
  }
  await powers.directory.removeMembers(app, entry);
  await powers.directory.mark(app, { kind: rowKinds.conversation, id: entry.id }, request.id);
}

async function shredProfile({ powers, app, request }: Run): Promise<void> {
  const of = request.target.subject as SubjectId;
  const place = request.target.place as PlaceId;
  await powers.directory.replacePlace(app, { of, kind: 'profile', place }, request.id);
}

async function finishProfile(run: Run): Promise<void> {
  const subject = await readSubject(run);
  if (subject !== undefined) await record(run, 'ProfileCleared', { user: subject.value.alias });
}

async function shredMessage(run: Run): Promise<void> {
  const { powers, app, request } = run;
  const place = request.target.place ?? (await readConversation(run))?.value.messagePlace;
  if (place === undefined) return;
  const path = thingPath(request.target.message as MessageId);
  const ref = { app: app.id, kind: ringKinds.place, id: place };
  await powers.keyring.puncture(ref, [{ path, depth: THING_DEPTH }], request.id);
}

async function readConversation(run: Run): Promise<ConversationEntry | undefined> {
  const id = run.request.target.conversation as ConversationId;
  const [entry] = await run.powers.directory.conversations(run.app.id, [id]);
  return typeof entry === 'object' ? entry : undefined;
}

async function shredMessages({ powers, app, request }: Run): Promise<void> {
  const of = request.target.conversation as ConversationId;
  const place = request.target.place as PlaceId;
  await powers.directory.replacePlace(app, { of, kind: 'messages', place }, request.id);
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

async function finishConversation(run: Run): Promise<void> {
  const conversation = run.request.target.conversation as ConversationId;
  await record(run, 'ConversationDeleted', { conversation });
  const entry = await readConversation(run);
  if (entry !== undefined) await removeConversation(run, entry);
}

async function finishApp(powers: PrivacyPowers, { app, id }: PrivacyRequest): Promise<void> {
  await powers.accessKeyStore.removeAll(app);
  await powers.directory.removeAppRoot(app, id);
  await powers.keyring.passHolders();
}
