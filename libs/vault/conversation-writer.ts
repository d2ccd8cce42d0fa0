/** Adds conversations to the directory, with their places and (for groups) their owner ring. */

import {
  type ConversationId,
  type IndexId,
  idToBucket,
  type PlaceId,
  type SubjectId,
} from '../base/ids.ts';
import { randomIdInBucket } from '../base/random.ts';
import { ringKinds } from '../sealing/tree-path.ts';
import type { App } from './app-registry.ts';
import {
  type ConversationKind,
  type ConversationValue,
  conversationCodec,
  type SubjectEntry,
  type SubjectValue,
  subjectCodec,
} from './directory.ts';
import {
  ATTEMPTS_MAX,
  changeSubjects,
  namingBatch,
  openBucket,
  type WriterDeps,
} from './directory-rows.ts';
import { contended } from './key-hierarchy.ts';
import { rowKinds, type VaultBatch, type VaultRow } from './vault-store.ts';

/** A conversation to make. `externalRow` null and `isDefault` name a person's default one. */
export interface NewConversation {
  readonly kind: ConversationKind;
  readonly person: SubjectId | null;
  readonly externalRow: IndexId | null;
  readonly isDefault: boolean;
}

/** Makes conversations in their order; see DirectoryWriter. */
export async function addConversations(
  deps: WriterDeps,
  app: App,
  wanted: { wanted: readonly NewConversation[]; nowMs: number },
): Promise<(ConversationId | undefined)[]> {
  const results: (ConversationId | undefined)[] = [];
  for (const one of wanted.wanted) {
    results.push(await addConversation(deps, app, { ...one, nowMs: wanted.nowMs }));
  }
  return results;
}

async function addConversation(
  deps: WriterDeps,
  app: App,
  wanted: NewConversation & { nowMs: number },
): Promise<ConversationId | undefined> {
  const { store, directory, hierarchy } = deps;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    if (wanted.externalRow !== null) {
      const kind = rowKinds.externalConversation;
      const [known] = await directory.references(app.id, kind, [wanted.externalRow]);
      if (known !== undefined) return known as ConversationId;
    }
    let person: SubjectEntry | undefined;
    if (wanted.person !== null) {
      [person] = await directory.subjects(app.id, [wanted.person]);
      if (person === undefined) return undefined;
      const known = wanted.isDefault ? person.value.defaultConversation : null;
      if (known !== null) return known;
    }
    const made = await newConversation(deps, app, { wanted, person });
    const outcomes = await store.commit(made.batches);
    if (outcomes.every((outcome) => outcome === 'done')) return made.id;
    for (const batch of made.batches) {
      hierarchy.forgetBucketKey(app.id, batch.puts![0]!.bucket);
    }
    if (outcomes[0] === 'done') await undoConversation(deps, app, { ...made, person });
  }
  throw contended();
}

async function newConversation(
  deps: WriterDeps,
  app: App,
  from: { wanted: NewConversation & { nowMs: number }; person: SubjectEntry | undefined },
): Promise<{ id: ConversationId; batches: VaultBatch[]; rows: VaultRow[] }> {
  const { wanted, person } = from;
  const { randomness } = deps;
  const number =
    person === undefined
      ? randomness.fill(Buffer.alloc(2)).readUInt16BE(0) % app.buckets
      : idToBucket(person.id) % app.buckets;
  const id = randomIdInBucket<ConversationId>(randomness, number);
  const value: ConversationValue = {
    kind: wanted.kind,
    person: wanted.person,
    messagePlace: randomIdInBucket<PlaceId>(randomness, number),
    profilePlace: randomIdInBucket<PlaceId>(randomness, number),
    externalRow: wanted.externalRow,
    isDefault: wanted.isDefault,
    createdAt: wanted.nowMs,
  };
  const bucket = await openBucket(deps, app, number);
  const rows = [
    bucket.ring(ringKinds.place, value.messagePlace),
    bucket.ring(ringKinds.place, value.profilePlace),
    bucket.row(rowKinds.conversation, id, conversationCodec.encodeTagged(value)),
  ];
  if (wanted.kind === 'sdkGroup') rows.push(bucket.ring(ringKinds.owner, id));
  const puts = [...rows];
  if (person !== undefined) {
    const subject = withConversation(person.value, id, wanted.isDefault);
    const plain = subjectCodec.encodeTagged(subject);
    puts.push(bucket.row(rowKinds.subject, person.id, plain, person.row));
  }
  const batches: VaultBatch[] = [{ guard: bucket.guard, puts }];
  if (wanted.externalRow !== null) {
    const kind = rowKinds.externalConversation;
    batches.push(await namingBatch(deps, app, { kind, row: wanted.externalRow, target: id }));
  }
  return { id, batches, rows };
}

function withConversation(
  value: SubjectValue,
  id: ConversationId,
  isDefault: boolean,
): SubjectValue {
  return {
    ...value,
    conversations: [...value.conversations, id],
    defaultConversation: isDefault ? id : value.defaultConversation,
  };
}

async function undoConversation(
  deps: WriterDeps,
  app: App,
  made: { id: ConversationId; rows: readonly VaultRow[]; person: SubjectEntry | undefined },
): Promise<void> {
  await deps.store.commit([{ removals: made.rows }]);
  if (made.person === undefined) return;
  const drop = (value: SubjectValue): SubjectValue => ({
    ...value,
    conversations: value.conversations.filter((one) => one !== made.id),
    defaultConversation: value.defaultConversation === made.id ? null : value.defaultConversation,
  });
  await changeSubjects(deps, app, new Map([[made.person.id, drop]]));
}
