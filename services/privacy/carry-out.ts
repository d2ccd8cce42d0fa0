/**
 * Carries out one request. Every step is recorded before it is done, is durable when it ends and
 * can be repeated, so that a request that was interrupted anywhere is finished by running it again.
 */

import type { PrivacyPowers } from '../../libs/backends/open-backends.ts';
import {
  type AppId,
  type ConversationId,
  type ErasureId,
  idToBytes,
  type MessageId,
  type PlaceId,
  type SubjectId,
} from '../../libs/base/ids.ts';
import { assertInvariant } from '../../libs/base/lethe-error.ts';
import { sha256 } from '../../libs/codec/hash.ts';
import { labels } from '../../libs/codec/labels.ts';
import type { RingRef } from '../../libs/keyring/ring.ts';
import type { PrivacyRequest } from '../../libs/requests/request-store.ts';
import { ringKinds, THING_DEPTH, thingPath } from '../../libs/sealing/tree-path.ts';
import type { App } from '../../libs/vault/app-registry.ts';
import type { ConversationEntry } from '../../libs/vault/directory.ts';
import { rowKinds } from '../../libs/vault/vault-store.ts';
import { recordLoss } from './record-loss.ts';

/** One request under way. */
interface Run {
  readonly powers: PrivacyPowers;
  readonly app: App;
  readonly request: PrivacyRequest;
  /** Records that a step begins. */
  step(name: string): Promise<void>;
}

/** Carries a request out to its end. */
export async function carryOut(powers: PrivacyPowers, request: PrivacyRequest): Promise<void> {
  const { requests, clock } = powers;
  const step = (name: string) => requests.record(request.id, name, clock.nowMs());
  const app = await powers.apps.find(request.app);
  // An app that was erased took everything in it along.
  if (app !== undefined) await runKind({ powers, app, request, step });
  else if (request.kind === 'erase-app') await finishApp(powers, request);
  await step('done');
}

function runKind(run: Run): Promise<void> {
  switch (run.request.kind) {
    case 'erase-subject':
      return eraseSubject(run);
    case 'clear-profile':
      return clearProfile(run);
    case 'forget-message':
      return forgetMessage(run);
    case 'clear-conversation':
      return clearConversation(run);
    case 'delete-conversation':
      return deleteConversation(run);
    case 'erase-app':
      return eraseApp(run);
  }
}

/**
 * The subject's own row leads to all else and goes last: as long as it is there, every step can be
 * repeated; when it is gone, all was done.
 */
async function eraseSubject(run: Run): Promise<void> {
  const { powers, app, request, step } = run;
  const { keyring, directory } = powers;
  const id = request.target.subject as SubjectId;
  const [subject] = await directory.subjects(app.id, [id]);
  if (subject === undefined) return;
  const { value } = subject;
  const found = await directory.conversations(app.id, value.conversations);
  const conversations = found.filter((one): one is ConversationEntry => typeof one === 'object');

  await step('shred');
  const ref = (kind: RingRef['kind'], ringId: string) => ({ app: app.id, kind, id: ringId });
  await keyring.shred([ref(ringKinds.owner, id)], request.id);
  const places = [
    value.profilePlace,
    value.recordPlace,
    ...conversations.flatMap((one) => [one.value.messagePlace, one.value.profilePlace]),
  ];
  await keyring.shred(
    places.map((place) => ref(ringKinds.place, place)),
    request.id,
  );

  await step('record');
  const content = { user: value.alias };
  await recordLoss(powers, app, { id: request.id, type: 'SubjectErased', content });

  await step('groups');
  for (const group of value.groups) await endForsakenGroup(run, group);

  await step('directory');
  const names = value.identities.map(({ row }) => ({ kind: rowKinds.identity, id: row }));
  await directory.removeReferences(app, names, id);
  for (const conversation of conversations) await removeConversation(run, conversation);
  const alias = (await directory.names(app.id)).alias(value.alias);
  await directory.mark(app, { kind: rowKinds.alias, id: alias }, request.id);
  // A conversation that was made meanwhile is in a newer row: then all is done once more.
  if (!(await directory.removeSubject(subject))) await eraseSubject(run);
}

/** A group goes with the last person who ever joined it or wrote in it. */
async function endForsakenGroup(run: Run, id: ConversationId): Promise<void> {
  const { powers, app, request } = run;
  const [group] = await powers.directory.conversations(app.id, [id]);
  if (typeof group !== 'object') return;
  if ((await powers.directory.shredForsakenGroup(app, group, request.id)) === 'kept') return;
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

async function clearProfile(run: Run): Promise<void> {
  const { powers, app, request, step } = run;
  const of = request.target.subject as SubjectId;
  const place = request.target.place as PlaceId;
  await step('shred');
  await powers.directory.replacePlace(app, { of, kind: 'profile', place }, request.id);
  const [subject] = await powers.directory.subjects(app.id, [of]);
  if (subject === undefined) return;
  await step('record');
  const content = { user: subject.value.alias };
  await recordLoss(powers, app, { id: request.id, type: 'ProfileCleared', content });
}

async function forgetMessage(run: Run): Promise<void> {
  const { powers, app, request, step } = run;
  const { conversation, message } = request.target;
  const place = await placeOfMessage(run);
  if (place === undefined) return;
  await step('shred');
  const path = thingPath(message as MessageId);
  const ref = { app: app.id, kind: ringKinds.place, id: place };
  await powers.keyring.puncture(ref, [{ path, depth: THING_DEPTH }]);
  await step('record');
  const content = { conversation: conversation!, message: message! };
  await recordLoss(powers, app, { id: request.id, type: 'MessageForgotten', content });
}

async function placeOfMessage(run: Run): Promise<string | undefined> {
  const { request, powers, app } = run;
  if (request.target.place !== undefined) return request.target.place;
  const id = request.target.conversation as ConversationId;
  const [entry] = await powers.directory.conversations(app.id, [id]);
  return typeof entry === 'object' ? entry.value.messagePlace : undefined;
}

async function clearConversation(run: Run): Promise<void> {
  const { powers, app, request, step } = run;
  const of = request.target.conversation as ConversationId;
  const place = request.target.place as PlaceId;
  await step('shred');
  await powers.directory.replacePlace(app, { of, kind: 'messages', place }, request.id);
  await step('record');
  const content = { conversation: of };
  await recordLoss(powers, app, { id: request.id, type: 'ConversationCleared', content });
}

async function deleteConversation(run: Run): Promise<void> {
  const { powers, app, request, step } = run;
  const id = request.target.conversation as ConversationId;
  const [entry] = await powers.directory.conversations(app.id, [id]);
  if (typeof entry === 'object') {
    await step('shred');
    const { messagePlace, profilePlace, kind } = entry.value;
    const refs: RingRef[] = [messagePlace, profilePlace].map((place) => {
      return { app: app.id, kind: ringKinds.place, id: place };
    });
    if (kind === 'sdkGroup') refs.push({ app: app.id, kind: ringKinds.owner, id });
    await powers.keyring.shred(refs, request.id);
  }
  await step('record');
  const content = { conversation: id };
  await recordLoss(powers, app, { id: request.id, type: 'ConversationDeleted', content });
  if (typeof entry !== 'object') return;
  await step('directory');
  await removeConversation(run, entry);
}

async function eraseApp(run: Run): Promise<void> {
  const { powers, app, request, step } = run;
  await step('shred');
  const ref = { app: app.id, kind: ringKinds.app, id: app.id };
  await powers.keyring.shred([ref], request.id);
  await finishApp(powers, request);
}

async function finishApp(powers: PrivacyPowers, request: PrivacyRequest): Promise<void> {
  const app: AppId = request.app;
  assertInvariant(request.kind === 'erase-app', 'only the erasure of an app removes its root');
  await powers.accessKeyStore.removeAll(app);
  await powers.directory.removeAppRoot(app, request.id);
}
