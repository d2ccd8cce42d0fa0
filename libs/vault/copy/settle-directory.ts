/**
 * Makes the directory of a copied vault one again. The parts of a live copy are of different
 * moments: who came or went between two of them is in one and not in the other. Names are written
 * for whom they are missing, and go where they lead to nobody; groups and people agree on who
 * joined. What was erased meanwhile is on the list of erasures: whoever settles applies it again.
 */
import { chunks } from '../../base/chunks.ts';
import type { AppId, ConversationId, IndexId, LossId, SubjectId } from '../../base/ids.ts';
import { isLetheError } from '../../base/lethe-error.ts';
import { randomId } from '../../base/random.ts';
import { namingBatch, openBucket } from '../directory/directory-rows.ts';
import {
  type ConversationRow,
  conversationCodec,
  type DirectoryContext,
  type DirectoryTable,
  directoryRow,
  type MemberRow,
  memberCodec,
  type ReferenceKind,
  type SubjectRow,
} from '../directory/directory-table.ts';
import { addMembers, memberId, membersOf, nameGroups } from '../directory/group-members.ts';
import { personRow } from '../holds/person-rows.ts';
import type { App } from '../keys/app-registry.ts';
import {
  type RowKey,
  type RowKind,
  rowKeyToText,
  rowKinds,
  rowStates,
  type VaultBatch,
  type VaultRow,
} from '../rows/vault-store.ts';
import { fenceRows } from '../taking/shred-rows.ts';
import type { DamagedRow } from '../turn/turn-store.ts';

/** A group all of whose members are fenced, though it lives. */
export interface ForsakenGroup {
  readonly app: App;
  readonly group: ConversationId;
  /** What fenced its newest member. */
  readonly by: LossId;
}

/** The directory while it is settled. */
interface SettlingContext extends DirectoryContext {
  isDamaged(row: DamagedRow): boolean;
  readonly isAnyDamaged: boolean;
}

const ROWS_PER_LOOK = 500;
const REFERENCE_KINDS: readonly ReferenceKind[] = [
  rowKinds.identity,
  rowKinds.alias,
  rowKinds.externalConversation,
];

/**
 * Settles all apps; nobody else writes meanwhile. Can be repeated. Gives groups that are to end,
 * which is for privacy to do. Damaged rows stay as they are. Throws VAULT_TAMPERED, CONTENDED.
 */
export async function settleDirectory(
  given: DirectoryContext,
  damaged: readonly DamagedRow[] = [],
): Promise<ForsakenGroup[]> {
  const names = new Set(damaged.map(rowKeyToText));
  const isDamaged = (row: DamagedRow) => names.has(rowKeyToText(row));
  const isAnyDamaged = damaged.length > 0;
  const deps = { ...given, table: withoutDamaged(given.table, damaged), isDamaged, isAnyDamaged };
  const forsaken: ForsakenGroup[] = [];
  const damagedApps = new Set(damaged.map(({ app }) => app));
  for (const app of await deps.apps.list()) {
    try {
      for await (const group of settleApp(deps, app)) forsaken.push(group);
    } catch (error) {
      // Without the key that its names are made with, the rest of it stays as it is.
      if (!damagedApps.has(app.id) || !isLetheError(error, 'VAULT_TAMPERED')) throw error;
    }
  }
  return forsaken;
}

/** Settles one app; gives groups that are to end. */
async function* settleApp(deps: SettlingContext, app: App): AsyncIterable<ForsakenGroup> {
  for (const kind of REFERENCE_KINDS) await dropNames(deps, app, kind);
  for await (const rows of chunks(deps.store.scan(rowKinds.subject, app.id), ROWS_PER_LOOK)) {
    await namePeople(deps, app, rows);
  }
  for await (const rows of chunks(deps.store.scan(rowKinds.conversation, app.id), ROWS_PER_LOOK)) {
    const ids = rows.map(({ id }) => id as ConversationId);
    const found = await deps.table.conversations(app.id, ids);
    const living = found.filter((entry) => typeof entry === 'object');
    await nameConversations(deps, app, living);
    for (const group of living.filter(({ value }) => value.kind === 'sdkGroup')) {
      const by = await settleWhole(deps, app, group);
      if (by !== undefined) yield { app, group: group.id, by };
    }
  }
}

/** The directory without rows that do not authenticate: those who are named beside them go on. */
function withoutDamaged(table: DirectoryTable, damaged: readonly DamagedRow[]): DirectoryTable {
  if (damaged.length === 0) return table;
  const names = new Set(damaged.map(rowKeyToText));
  const without =
    <Id extends string, Entry>(
      kind: RowKind,
      read: (app: AppId, ids: readonly Id[]) => Promise<(Entry | undefined)[]>,
    ) =>
    async (app: AppId, ids: readonly Id[]) => {
      const isWhole = (id: Id) => !names.has(rowKeyToText({ app, kind, id }));
      const whole = ids.filter(isWhole);
      const found = await read(app, whole);
      const byId = new Map(whole.map((id, i) => [id, found[i]]));
      return ids.map((id) => byId.get(id));
    };
  return {
    names: (app) => table.names(app),
    references: (app, kind, rows) =>
      without(kind, (of, ids: readonly IndexId[]) => table.references(of, kind, ids))(app, rows),
    subjects: without(rowKinds.subject, table.subjects),
    conversations: without(rowKinds.conversation, table.conversations),
    members: without(rowKinds.member, table.members),
  };
}

/** Names that lead to nobody go; the alias of somebody who was erased says so. */
async function dropNames(deps: DirectoryContext, app: App, kind: ReferenceKind): Promise<void> {
  const { store, table } = deps;
  const isConversation = kind === rowKinds.externalConversation;
  const entryKind = isConversation ? rowKinds.conversation : rowKinds.subject;
  for await (const rows of chunks(store.scan(kind, app.id), ROWS_PER_LOOK)) {
    const ids = rows.map(({ id }) => id as IndexId);
    const targets = await table.references(app.id, kind, ids);
    for (const [i, target] of targets.entries()) {
      if (target === undefined || target === 'erased') continue;
      const at = directoryRow(app, entryKind, target);
      const [entry] = await store.versions([at]);
      if (entry !== undefined && entry.state !== rowStates.erased) continue;
      const isErased = kind === rowKinds.alias && (await fencedBy(deps, app, target)) !== undefined;
      // A marker has an id of its own: see DirectoryShred.
      if (isErased) await fenceRows(deps, [rows[i]!], randomId<LossId>(deps.randomness));
      else await store.commit([{ dirties: true, removals: [rows[i]!] }]);
    }
  }
}

/** What fenced the ring of a person or group; undefined: it lives, or was never there. */
async function fencedBy({ store }: DirectoryContext, app: App, owner: string) {
  const [ring] = await store.read([personRow(app, owner)]);
  return ring?.state === rowStates.erased ? (ring.erasure ?? undefined) : undefined;
}

async function namePeople(
  deps: SettlingContext,
  app: App,
  rows: readonly VaultRow[],
): Promise<void> {
  const ids = rows.map(({ id }) => id as SubjectId);
  const entries = (await deps.table.subjects(app.id, ids)).filter((one) => one !== undefined);
  const living = await livingOnly(deps, entries, ({ id }) => personRow(app, id));
  const names = await deps.table.names(app.id);
  const wanted = living.flatMap(({ id, value }: SubjectRow) => [
    ...value.identities.map(({ row }) => ({ kind: rowKinds.identity, row, target: id })),
    { kind: rowKinds.alias, row: names.alias(value.alias), target: id },
  ]);
  await writeNames(deps, app, wanted);
  await joinGroups(deps, app, living);
}

/** An entry names a group before the group's chain names the person. */
async function joinGroups(
  deps: SettlingContext,
  app: App,
  people: readonly SubjectRow[],
): Promise<void> {
  const rows = people.flatMap(({ value }) => value.identities.map(({ row }) => row));
  const named = new Set(await deps.table.references(app.id, rowKinds.identity, rows));
  // A person whom no identity names any more gets no deliveries, so they join nothing.
  const joined = people.filter(({ id }) => named.has(id));
  const memberships = joined.flatMap(({ id, value }) =>
    value.groups.map((group) => ({ group, person: id, isNamed: true })),
  );
  // A damaged one is there, and stays as it is: nothing is to be put in its place.
  const kind = rowKinds.member;
  await addMembers(
    deps,
    app,
    memberships.filter((one) => !deps.isDamaged({ app: app.id, kind, id: memberId(one) })),
  );
}

async function nameConversations(
  deps: DirectoryContext,
  app: App,
  entries: readonly ConversationRow[],
): Promise<void> {
  const living = await livingOnly(deps, entries, ({ id, value }) =>
    personRow(app, value.person ?? id),
  );
  const kind = rowKinds.externalConversation;
  const wanted = living.flatMap(({ id, value: { externalRow } }) =>
    externalRow === null ? [] : { kind, row: externalRow, target: id },
  );
  await writeNames(deps, app, wanted);
}

async function livingOnly<Entry>(
  { store }: DirectoryContext,
  entries: readonly Entry[],
  ringOf: (entry: Entry) => RowKey,
): Promise<Entry[]> {
  const rings = await store.versions(entries.map(ringOf));
  return entries.filter((_, i) => rings[i] !== undefined && rings[i].state !== rowStates.erased);
}

async function writeNames(
  deps: DirectoryContext,
  app: App,
  wanted: readonly { kind: ReferenceKind; row: IndexId; target: string }[],
): Promise<void> {
  const there = await deps.store.versions(
    wanted.map(({ kind, row }) => directoryRow(app, kind, row)),
  );
  const missing = wanted.filter((_, i) => there[i] === undefined);
  const batches: VaultBatch[] = [];
  for (const name of missing) batches.push(await namingBatch(deps, app, name));
  await deps.store.commit(batches);
}

/** A group whose chain of members is damaged stays as it is. */
async function settleWhole(
  deps: SettlingContext,
  app: App,
  group: ConversationRow,
): Promise<LossId | undefined> {
  try {
    return await settleGroup(deps, app, group);
  } catch (error) {
    if (deps.isAnyDamaged && isLetheError(error, 'VAULT_TAMPERED')) return undefined;
    throw error;
  }
}

/** Members of a group are somebody, and name it. Gives what fenced all of them, if so. */
async function settleGroup(
  deps: DirectoryContext,
  app: App,
  group: ConversationRow,
): Promise<LossId | undefined> {
  // It was ending already: member rows may be gone.
  const ending = await fencedBy(deps, app, group.id);
  if (ending !== undefined) return ending;
  const chain: MemberRow[] = [];
  for await (const member of membersOf(deps.table, app.id, group)) chain.push(member);
  const people = chain.map(({ value }) => value.person);
  const rings = await deps.store.read(people.map((person) => personRow(app, person)));
  const kept = chain.filter((_, i) => rings[i] !== undefined);
  if (kept.length < chain.length) {
    const gone = chain.filter((member) => !kept.includes(member));
    await relink(deps, app, { group, kept, gone });
  }
  await nameGroups(
    deps,
    app,
    kept.map(({ value }) => ({ group: group.id, person: value.person })),
  );
  const there = rings.filter((ring) => ring !== undefined);
  const isForsaken = there.length > 0 && there.every((ring) => ring.state === rowStates.erased);
  return isForsaken ? (there[0]!.erasure ?? undefined) : undefined;
}

/** Takes people out of a group's chain, which is newest first, in one commit. */
async function relink(
  deps: DirectoryContext,
  app: App,
  chain: {
    group: ConversationRow;
    kept: readonly MemberRow[];
    gone: readonly MemberRow[];
  },
): Promise<void> {
  const { group, kept, gone } = chain;
  const bucket = await openBucket(deps, app, group.row.bucket);
  let lastMember: MemberRow['id'] | null = null;
  const puts: VaultRow[] = [];
  for (const { id, row, value } of kept.toReversed()) {
    if (value.previous !== lastMember) {
      const plain = memberCodec.encodeTagged({ ...value, previous: lastMember });
      puts.push(bucket.row(rowKinds.member, id, plain, row));
    }
    lastMember = id;
  }
  const plain = conversationCodec.encodeTagged({ ...group.value, lastMember });
  puts.push(bucket.row(rowKinds.conversation, group.id, plain, group.row));
  const removals = gone.map(({ row }) => row);
  await deps.store.commit([{ guard: bucket.guard, dirties: true, puts, removals }]);
}
