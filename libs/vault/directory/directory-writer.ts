/**
 * Adds people and conversations to the directory together with their rings. A name is given by
 * insert-if-absent after everything behind it is durable, so two processes that meet the same new
 * person at once end with one; the loser's rows are removed again. (An alias may come before: it
 * was told to nobody yet.)
 */

import {
  type Alias,
  type ConversationId,
  type IndexId,
  idToBucket,
  type PlaceId,
  type SubjectId,
} from '../../base/ids.ts';
import { randomId, randomIdInBucket } from '../../base/random.ts';
import { again, retryContended } from '../../base/retry.ts';
import type { Ring } from '../../keyring/ring.ts';
import { ringKinds } from '../../sealing/tree-path.ts';
import type { App } from '../keys/app-registry.ts';
import { rowKinds, type VaultBatch } from '../rows/vault-store.ts';
import { addConversations, type NewConversation } from './conversation-writer.ts';
import { type ReferenceKind, type SubjectValue, subjectCodec } from './directory.ts';
import {
  changeSubjects,
  namingBatch,
  openBucket,
  removalOf,
  settleRings,
  type WriterDeps,
} from './directory-rows.ts';
import { addMembers, type Membership } from './group-members.ts';

/** The people of identity rows, in their order; `made` holds the entries of the new ones. */
export interface AddedSubjects {
  readonly ids: readonly SubjectId[];
  readonly made: ReadonlyMap<SubjectId, SubjectValue>;
}

/** Adds to the directory. Failures: VAULT_UNREACHABLE, STORE_FULL, CONTENDED (retryable). */
export interface DirectoryWriter {
  /**
   * Makes the person behind each identity row that names nobody yet; who it is either way, and the
   * entries of those who were made. `groups`: where new people are about to write or join.
   */
  addSubjects(
    app: App,
    identityRows: readonly IndexId[],
    at: { nowMs: number; groups?: ReadonlyMap<IndexId, ConversationId> },
  ): Promise<AddedSubjects>;
  /**
   * Makes conversations, or finds those that another process made meanwhile. Undefined: its person
   * was erased.
   */
  addConversations(
    app: App,
    wanted: readonly NewConversation[],
    nowMs: number,
  ): Promise<(ConversationId | undefined)[]>;
  /** Writes who joins or writes in groups, durably; groups and people that are gone are skipped. */
  addMembers(app: App, memberships: readonly Membership[]): Promise<void>;
  /** Changes a subject's entry; gives up silently when the person is gone. */
  changeSubjects(
    app: App,
    changes: ReadonlyMap<SubjectId, (value: SubjectValue) => SubjectValue>,
  ): Promise<void>;
}

/** Opens the directory of a vault for additions. */
export function createDirectoryWriter(deps: WriterDeps): DirectoryWriter {
  return {
    addSubjects: (app, rows, at) => addSubjects(deps, app, { rows, ...at }),
    addConversations: (app, wanted, nowMs) => addConversations(deps, app, { wanted, nowMs }),
    addMembers: (app, memberships) => addMembers(deps, app, memberships),
    changeSubjects: (app, changes) => changeSubjects(deps, app, changes),
  };
}

interface Naming {
  readonly subject: SubjectId;
  readonly value: SubjectValue;
  readonly made: readonly Ring[];
  readonly rings: VaultBatch;
  readonly alias: VaultBatch;
  readonly identity: VaultBatch;
}

async function newSubject(
  deps: WriterDeps,
  app: App,
  made: { identityRow: IndexId; nowMs: number; group: ConversationId | undefined },
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
    groups: made.group === undefined ? [] : [made.group],
    createdAt: made.nowMs,
  };
  const bucket = await openBucket(deps, app, number);
  const aliasRow = (await deps.directory.names(app.id)).alias(value.alias);
  const name = (kind: ReferenceKind, row: IndexId) =>
    namingBatch(deps, app, { kind, row, target: subject });
  const rings = [
    bucket.ring(ringKinds.owner, subject),
    bucket.ring(ringKinds.place, value.profilePlace),
    bucket.ring(ringKinds.place, value.recordPlace),
  ];
  const behind: VaultBatch = {
    guard: bucket.guard,
    puts: [
      ...rings.map((one) => one.row),
      bucket.row(rowKinds.subject, subject, subjectCodec.encodeTagged(value)),
    ],
  };
  const alias = await name(rowKinds.alias, aliasRow);
  const identity = await name(rowKinds.identity, made.identityRow);
  return {
    subject,
    value,
    made: rings.map((one) => one.ring),
    rings: behind,
    alias,
    identity: { ...identity, needs: [behind, alias] },
  };
}

async function addSubjects(
  deps: WriterDeps,
  app: App,
  wanted: {
    rows: readonly IndexId[];
    nowMs: number;
    groups?: ReadonlyMap<IndexId, ConversationId>;
  },
): Promise<AddedSubjects> {
  const { store, directory, hierarchy } = deps;
  const ids = new Map<IndexId, SubjectId>();
  const made = new Map<SubjectId, SubjectValue>();
  return retryContended(async () => {
    const asked = [...new Set(wanted.rows)].filter((row) => !ids.has(row));
    const known = await directory.references(app.id, rowKinds.identity, asked);
    for (const [i, row] of asked.entries()) if (known[i]) ids.set(row, known[i] as SubjectId);
    const missing = asked.filter((row) => !ids.has(row));
    if (missing.length === 0) return { ids: wanted.rows.map((row) => ids.get(row)!), made };
    await openBuckets(deps, app, missing);
    const namings: Naming[] = [];
    for (const identityRow of missing) {
      const group = wanted.groups?.get(identityRow);
      namings.push(await newSubject(deps, app, { identityRow, nowMs: wanted.nowMs, group }));
    }
    const losses = deps.keyring.losses();
    const behind = namings.flatMap((naming) => [naming.rings, naming.alias]);
    const names = namings.map((naming) => naming.identity);
    const outcomes = await store.commit([...behind, ...names]);
    const undone = namings.flatMap((naming, i) => {
      const isWhole = outcomes[behind.length + i] === 'done';
      settleRings(deps, naming.made, { isWritten: isWhole, losses });
      if (isWhole) {
        ids.set(naming.value.identities[0]!.row, naming.subject);
        made.set(naming.subject, naming.value);
        return [];
      }
      for (const batch of [naming.rings, naming.alias, naming.identity]) {
        hierarchy.forgetBucketKey(app.id, batch.puts![0]!.bucket);
      }
      const written = [naming.rings, naming.alias];
      return written.filter((_, s) => outcomes[2 * i + s] === 'done').map(removalOf);
    });
    if (undone.length > 0) await store.commit(undone);
    return again;
  });
}

/** Loads or makes the keys of many buckets in one go, so that later single look-ups are cached. */
async function openBuckets(deps: WriterDeps, app: App, rows: readonly IndexId[]): Promise<void> {
  const buckets = rows.map((row) => idToBucket(row) % app.buckets);
  await deps.hierarchy.bucketKeys(app.id, buckets);
}
