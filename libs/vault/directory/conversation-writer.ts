/** Adds conversations to the directory, with their places and (for groups) their owner ring. */

import {
  type ConversationId,
  type IndexId,
  idToBucket,
  type PlaceId,
  type SubjectId,
} from '../../base/ids.ts';
import { randomIdInBucket } from '../../base/random.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { Ring } from '../../keyring/ring.ts';
import { ringKinds } from '../../sealing/tree-path.ts';
import type { App } from '../keys/app-registry.ts';
import { rowKinds, type VaultBatch, type VaultRow } from '../rows/vault-store.ts';
import type {
  ConversationKind,
  ConversationValue,
  NewConversation,
  SubjectValue,
} from './directory.ts';
import { changeSubjects, namingBatch, openBucket, settleRings } from './directory-rows.ts';
import {
  conversationCodec,
  type DirectoryContext,
  type SubjectRow,
  subjectCodec,
} from './directory-table.ts';

interface Wanted {
  readonly kind: ConversationKind;
  readonly person: SubjectId | null;
  /** The row of its name; null: it has none. */
  readonly externalRow: IndexId | null;
  readonly isDefault: boolean;
  readonly nowMs: number;
}

/** What was looked up for a wanted conversation. */
interface Found {
  readonly wanted: Wanted;
  readonly person: SubjectRow | undefined;
  /** The conversation that is there already; `gone`: its person was erased. */
  readonly known: ConversationId | 'gone' | undefined;
}

/** A new conversation, not written yet. */
interface Made {
  readonly id: ConversationId;
  /** Its rows, and the entry of its person that names it. */
  readonly entry: VaultBatch;
  /** What leads to it from outside. */
  readonly name: VaultBatch | undefined;
  readonly rows: readonly VaultRow[];
  readonly rings: readonly Ring[];
}

/**
 * Makes conversations; see DirectoryWriter. They are made together, but at most one of a person and
 * one of a name at a time, because those meet in one row.
 */
export async function addConversations(
  deps: DirectoryContext,
  app: App,
  given: { wanted: readonly NewConversation[]; nowMs: number },
): Promise<(ConversationId | undefined)[]> {
  const names = await deps.table.names(app.id);
  const wanted = given.wanted.map(({ name, ...one }): Wanted => {
    const externalRow = name && names.conversation({ ...name, person: one.person });
    return { ...one, externalRow, nowMs: given.nowMs };
  });
  const results = new Map<Wanted, ConversationId | undefined>();
  const left = () => wanted.filter((one) => !results.has(one));
  while (left().length > 0) {
    await retryContended(async () => {
      const round = oneOfEach(left());
      const ids = await makeMissing(deps, app, await findConversations(deps, app, round));
      for (const [i, one] of round.entries()) {
        const id = ids[i];
        if (id !== undefined) results.set(one, id === 'gone' ? undefined : id);
      }
      return ids.every((id) => id === undefined) ? again : undefined;
    });
  }
  return wanted.map((one) => results.get(one));
}

function oneOfEach(wanted: readonly Wanted[]): Wanted[] {
  const taken = new Set<string>();
  return wanted.filter(({ person, externalRow }) => {
    const names = [person, externalRow].filter((name) => name !== null);
    if (names.some((name) => taken.has(name))) return false;
    for (const name of names) taken.add(name);
    return true;
  });
}

async function findConversations(
  { table }: DirectoryContext,
  app: App,
  wanted: readonly Wanted[],
): Promise<Found[]> {
  const named = wanted.filter((one) => one.externalRow !== null);
  const rows = named.map((one) => one.externalRow!);
  const kind = rowKinds.externalConversation;
  const references = await table.references(app.id, kind, rows);
  const personal = wanted.filter((one) => one.person !== null);
  const people = personal.map((one) => one.person!);
  const subjects = await table.subjects(app.id, people);
  return wanted.map((one) => {
    const known = references[named.indexOf(one)] as ConversationId | undefined;
    if (known !== undefined || one.person === null) {
      return { wanted: one, person: undefined, known };
    }
    const person = subjects[personal.indexOf(one)];
    if (person === undefined) return { wanted: one, person, known: 'gone' };
    const standard = one.isDefault ? person.value.defaultConversation : null;
    return { wanted: one, person, known: standard ?? undefined };
  });
}

/** Makes what was not found; undefined where another writer was first: look again. */
async function makeMissing(
  deps: DirectoryContext,
  app: App,
  found: readonly Found[],
): Promise<(ConversationId | 'gone' | undefined)[]> {
  const { store, hierarchy } = deps;
  const ids = found.map((one) => one.known);
  const made = [];
  for (const [i, one] of found.entries()) {
    if (one.known === undefined) made.push({ i, ...(await newConversation(deps, app, one)) });
  }
  const losses = deps.keyring.losses();
  const batches = [...made.map((one) => one.entry), ...made.flatMap((one) => one.name ?? [])];
  const outcomes = await store.commit(batches);
  const done = new Set(batches.filter((_, i) => outcomes[i] === 'done'));
  for (const { i, id, entry, name, rows, rings } of made) {
    const isWhole = done.has(name ?? entry);
    settleRings(deps, rings, { isWritten: isWhole, losses });
    if (isWhole) {
      ids[i] = id;
      continue;
    }
    for (const batch of name === undefined ? [entry] : [entry, name]) {
      hierarchy.forgetBucketKey(app.id, batch.puts![0]!.bucket);
    }
    const { person } = found[i]!;
    if (done.has(entry)) await undoConversation(deps, app, { id, rows, person });
  }
  return ids;
}

async function newConversation(
  deps: DirectoryContext,
  app: App,
  from: Pick<Found, 'wanted' | 'person'>,
): Promise<Made> {
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
    lastMember: null,
    createdAt: wanted.nowMs,
  };
  const bucket = await openBucket(deps, app, number);
  const rings = [
    bucket.ring(ringKinds.place, value.messagePlace),
    bucket.ring(ringKinds.place, value.profilePlace),
  ];
  if (wanted.kind === 'sdkGroup') rings.push(bucket.ring(ringKinds.owner, id));
  const rows = [
    ...rings.map((one) => one.row),
    bucket.row(rowKinds.conversation, id, conversationCodec.encodeTagged(value)),
  ];
  const puts = [...rows];
  if (person !== undefined) {
    const subject = withConversation(person.value, id, wanted.isDefault);
    const plain = subjectCodec.encodeTagged(subject);
    puts.push(bucket.row(rowKinds.subject, person.id, plain, person.row));
  }
  const entry = { guard: bucket.guard, puts };
  const made = { id, entry, rows, rings: rings.map((one) => one.ring) };
  if (wanted.externalRow === null) return { ...made, name: undefined };
  const kind = rowKinds.externalConversation;
  const name = await namingBatch(deps, app, { kind, row: wanted.externalRow, target: id });
  return { ...made, name: { ...name, needs: [entry] } };
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
  deps: DirectoryContext,
  app: App,
  made: { id: ConversationId; rows: readonly VaultRow[]; person: SubjectRow | undefined },
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
