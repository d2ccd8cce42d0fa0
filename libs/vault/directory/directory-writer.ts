/**
 * Adds people and conversations to the directory together with their rings. A name is given by
 * insert-if-absent, after everything behind it is durable. So two processes that meet the same new
 * person at once end with one, and the loser's rows are removed again. An alias may come before:
 * nobody was told it yet.
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
import { addConversations } from './conversation-writer.ts';
import type { AddedSubjects, DirectoryWriter, SubjectValue } from './directory.ts';
import {
  changeSubjects,
  namingBatch,
  openBucket,
  removalOf,
  settleRings,
} from './directory-rows.ts';
import { type DirectoryContext, type ReferenceKind, subjectCodec } from './directory-table.ts';
import { addMembers } from './group-members.ts';

/** Opens the directory of a vault for additions. */
export function createDirectoryWriter(deps: DirectoryContext): DirectoryWriter {
  return {
    async addSubjects(app, newcomers, nowMs) {
      const names = await deps.table.names(app.id);
      const wanted = newcomers.map(({ identity, group }) => {
        return { row: names.identity(identity.channel, identity.externalId), group };
      });
      return addSubjects(deps, app, { wanted, nowMs });
    },
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
  deps: DirectoryContext,
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
  const aliasRow = (await deps.table.names(app.id)).alias(value.alias);
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

interface WantedSubject {
  readonly row: IndexId;
  readonly group: ConversationId | undefined;
}

async function addSubjects(
  deps: DirectoryContext,
  app: App,
  { wanted, nowMs }: { wanted: readonly WantedSubject[]; nowMs: number },
): Promise<AddedSubjects> {
  const { store, table, hierarchy } = deps;
  const groups = new Map(wanted.map(({ row, group }) => [row, group]));
  const ids = new Map<IndexId, SubjectId>();
  const made = new Map<SubjectId, SubjectValue>();
  return retryContended(async () => {
    const asked = [...groups.keys()].filter((row) => !ids.has(row));
    const known = await table.references(app.id, rowKinds.identity, asked);
    for (const [i, row] of asked.entries()) if (known[i]) ids.set(row, known[i] as SubjectId);
    const missing = asked.filter((row) => !ids.has(row));
    if (missing.length === 0) return { ids: wanted.map(({ row }) => ids.get(row)!), made };
    await openBuckets(deps, app, missing);
    const namings: Naming[] = [];
    for (const identityRow of missing) {
      const group = groups.get(identityRow);
      namings.push(await newSubject(deps, app, { identityRow, nowMs, group }));
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
async function openBuckets(
  deps: DirectoryContext,
  app: App,
  rows: readonly IndexId[],
): Promise<void> {
  const buckets = rows.map((row) => idToBucket(row) % app.buckets);
  await deps.hierarchy.bucketKeys(app.id, buckets);
}
