/**
 * Adds people and conversations to the directory together with their rings. A name is given by
 * insert-if-absent after everything behind it is durable, so two processes that meet the same new
 * person at once end with one; the loser's rows are removed again.
 */
import {
  type Alias,
  type AppId,
  type ConversationId,
  type IndexId,
  idToBucket,
  type PlaceId,
  type SubjectId,
} from '../base/ids.ts';
import { type Randomness, randomId, randomIdInBucket } from '../base/random.ts';
import { type RingKind, ringKinds } from '../sealing/tree-path.ts';
import type { App } from './app-registry.ts';
import {
  type ConversationKind,
  type ConversationValue,
  conversationCodec,
  type Directory,
  directoryRow,
  type ReferenceKind,
  referenceCodec,
  type SubjectEntry,
  type SubjectValue,
  subjectCodec,
} from './directory.ts';
import { bucketKeyRow, contended, type KeyHierarchy } from './key-hierarchy.ts';
import { newRingRow, ringRow } from './vault-rings.ts';
import { rowKinds, type VaultBatch, type VaultRow, type VaultStore } from './vault-store.ts';
import { wrapRow } from './wrapped-row.ts';

/** A conversation to make. `externalRow` null and `isDefault` name a person's default one. */
export interface NewConversation {
  readonly kind: ConversationKind;
  readonly person: SubjectId | null;
  readonly externalRow: IndexId | null;
  readonly isDefault: boolean;
}

/** Adds to the directory. Failures: VAULT_UNREACHABLE, STORE_FULL, CONTENDED (retryable). */
export interface DirectoryWriter {
  /** Makes the person behind each identity row that names nobody yet; who it is either way. */
  addSubjects(app: App, identityRows: readonly IndexId[], nowMs: number): Promise<SubjectId[]>;
  /** Gives a known person one more identity. `taken`: it names somebody already. */
  addIdentity(app: App, subject: SubjectId, row: IndexId): Promise<'done' | 'taken' | 'gone'>;
  /**
   * Makes conversations, or finds those that another process made meanwhile. Undefined: its person
   * was erased.
   */
  addConversations(
    app: App,
    wanted: readonly NewConversation[],
    nowMs: number,
  ): Promise<(ConversationId | undefined)[]>;
  /** Changes a subject's entry; gives up silently when the person is gone. */
  changeSubjects(
    app: App,
    changes: ReadonlyMap<SubjectId, (value: SubjectValue) => SubjectValue>,
  ): Promise<void>;
}

interface Deps {
  store: VaultStore;
  hierarchy: KeyHierarchy;
  directory: Directory;
  randomness: Randomness;
}

const ATTEMPTS_MAX = 8;

/** Opens the directory of a vault for additions. */
export function createDirectoryWriter(deps: Deps): DirectoryWriter {
  return {
    addSubjects: (app, rows, nowMs) => addSubjects(deps, app, { rows, nowMs }),
    addIdentity: (app, subject, row) => addIdentity(deps, app, { subject, row }),
    addConversations: (app, wanted, nowMs) => addConversations(deps, app, { wanted, nowMs }),
    changeSubjects: (app, changes) => changeSubjects(deps, app, changes),
  };
}

/** Builds rows of one bucket under its current key, with the guard that it is still current. */
async function openBucket(deps: Deps, app: App, bucket: number) {
  const wrapping = (await deps.hierarchy.bucketKeys(app.id, [bucket])).get(bucket)!;
  const guard = { key: bucketKeyRow(app.id, bucket), ownKey: wrapping.id };
  return {
    guard,
    ring(kind: RingKind, id: string): VaultRow {
      const key = ringRow({ app: app.id, kind, id }, app.buckets);
      return newRingRow(key, { kind, wrapping, randomness: deps.randomness });
    },
    row(kind: VaultRow['kind'], id: string, plain: Buffer, previous?: VaultRow): VaultRow {
      const key = directoryRow({ app: app.id, buckets: app.buckets }, kind, id);
      return wrapRow({ key, ...(previous && { previous }) }, plain, wrapping);
    },
  };
}

async function namingBatch(
  deps: Deps,
  app: App,
  name: { kind: ReferenceKind; row: IndexId; target: string },
): Promise<VaultBatch> {
  const bucket = await openBucket(deps, app, idToBucket(name.row) % app.buckets);
  const plain = referenceCodec.encodeTagged({ target: name.target });
  return { guard: bucket.guard, puts: [bucket.row(name.kind, name.row, plain)] };
}

function removalOf(batch: VaultBatch): VaultBatch {
  return { removals: batch.puts ?? [] };
}

interface Naming {
  readonly subject: SubjectId;
  readonly rings: VaultBatch;
  readonly alias: VaultBatch;
  readonly identity: VaultBatch;
}

async function newSubject(
  deps: Deps,
  app: App,
  made: { identityRow: IndexId; nowMs: number },
): Promise<Naming> {
  const { randomness } = deps;
  const number = randomness.fill(Buffer.alloc(2)).readUInt16BE(0) % app.buckets;
  const subject = randomIdInBucket<SubjectId>(randomness, number);
  const value: SubjectValue = {
    alias: randomId<Alias>(randomness),
    profilePlace: randomIdInBucket<PlaceId>(randomness, number),
    recordPlace: randomIdInBucket<PlaceId>(randomness, number),
    identities: [{ row: made.identityRow, announced: false }],
    nameMark: null,
    conversations: [],
    defaultConversation: null,
    createdAt: made.nowMs,
  };
  const bucket = await openBucket(deps, app, number);
  const aliasRow = (await deps.directory.names(app.id)).alias(value.alias);
  const name = (kind: ReferenceKind, row: IndexId) =>
    namingBatch(deps, app, { kind, row, target: subject });
  return {
    subject,
    rings: {
      guard: bucket.guard,
      puts: [
        bucket.ring(ringKinds.owner, subject),
        bucket.ring(ringKinds.place, value.profilePlace),
        bucket.ring(ringKinds.place, value.recordPlace),
        bucket.row(rowKinds.subject, subject, subjectCodec.encodeTagged(value)),
      ],
    },
    alias: await name(rowKinds.alias, aliasRow),
    identity: await name(rowKinds.identity, made.identityRow),
  };
}

async function addSubjects(
  deps: Deps,
  app: App,
  wanted: { rows: readonly IndexId[]; nowMs: number },
): Promise<SubjectId[]> {
  const { store, directory, hierarchy } = deps;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const known = await directory.references(app.id, rowKinds.identity, wanted.rows);
    const missing = new Set(wanted.rows.filter((_, i) => known[i] === undefined));
    if (missing.size === 0) return known as SubjectId[];
    await openBuckets(deps, app, [...missing]);
    const namings: Naming[] = [];
    for (const identityRow of missing) {
      namings.push(await newSubject(deps, app, { identityRow, nowMs: wanted.nowMs }));
    }
    const outcomes = await store.commit(namings.flatMap((n) => [n.rings, n.alias, n.identity]));
    const undone = namings.flatMap((naming, i) => {
      const [rings, alias, identity] = outcomes.slice(i * 3, i * 3 + 3);
      if (identity === 'done' && rings === 'done' && alias === 'done') return [];
      for (const batch of [naming.rings, naming.alias, naming.identity]) {
        hierarchy.forgetBucketKey(app.id, batch.puts![0]!.bucket);
      }
      const steps = [naming.rings, naming.alias, naming.identity];
      return steps.filter((_, s) => outcomes[i * 3 + s] === 'done').map(removalOf);
    });
    if (undone.length > 0) await store.commit(undone);
  }
  throw contended();
}

/** Loads or makes the keys of many buckets in one go, so that later single look-ups are cached. */
async function openBuckets(deps: Deps, app: App, rows: readonly IndexId[]): Promise<void> {
  const buckets = rows.map((row) => idToBucket(row) % app.buckets);
  await deps.hierarchy.bucketKeys(app.id, buckets);
}

async function addIdentity(
  deps: Deps,
  app: App,
  link: { subject: SubjectId; row: IndexId },
): Promise<'done' | 'taken' | 'gone'> {
  const naming = { kind: rowKinds.identity, row: link.row, target: link.subject } as const;
  const batch = await namingBatch(deps, app, naming);
  const [outcome] = await deps.store.commit([batch]);
  if (outcome === 'conflict') {
    const [known] = await deps.directory.references(app.id, rowKinds.identity, [link.row]);
    return known === link.subject ? 'done' : 'taken';
  }
  const add = (value: SubjectValue): SubjectValue => ({
    ...value,
    identities: [
      ...value.identities.filter((identity) => identity.row !== link.row),
      { row: link.row, announced: true },
    ],
  });
  await changeSubjects(deps, app, new Map([[link.subject, add]]));
  const [subject] = await deps.directory.subjects(app.id, [link.subject]);
  if (subject !== undefined) return 'done';
  await deps.store.commit([removalOf(batch)]);
  return 'gone';
}

async function addConversations(
  deps: Deps,
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
  deps: Deps,
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
  deps: Deps,
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
  deps: Deps,
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

async function changeSubjects(
  deps: Deps,
  app: App,
  changes: ReadonlyMap<SubjectId, (value: SubjectValue) => SubjectValue>,
): Promise<void> {
  const left = new Map(changes);
  for (let attempt = 0; attempt < ATTEMPTS_MAX && left.size > 0; attempt += 1) {
    const entries = await deps.directory.subjects(app.id, [...left.keys()]);
    const present = entries.filter((entry) => entry !== undefined);
    for (const id of left.keys()) {
      if (!present.some((entry) => entry.id === id)) left.delete(id);
    }
    const batches: VaultBatch[] = [];
    for (const entry of present) {
      const bucket = await openBucket(deps, app, entry.row.bucket);
      const plain = subjectCodec.encodeTagged(left.get(entry.id)!(entry.value));
      const row = bucket.row(rowKinds.subject, entry.id, plain, entry.row);
      batches.push({ guard: bucket.guard, puts: [row] });
    }
    const outcomes = await deps.store.commit(batches);
    for (const [i, outcome] of outcomes.entries()) {
      const entry = present[i]!;
      if (outcome === 'done') left.delete(entry.id);
      else deps.hierarchy.forgetBucketKey(app.id, entry.row.bucket);
    }
  }
}
