/**
 * Member rows of groups: who ever joined a group or wrote in it. What a business says in a group
 * belongs to the group, and goes when the last of these people is erased.
 *
 * A person's own entry names the group before the group's chain names the person: so whoever erases
 * the person finds every group in which an event of theirs can be.
 */

import {
  type AppId,
  type ConversationId,
  idToBytes,
  type MemberId,
  type SubjectId,
} from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { again, retryContended } from '../../base/retry.ts';
import { sha256 } from '../../codec/hash.ts';
import { labels } from '../../codec/labels.ts';
import type { App } from '../keys/app-registry.ts';
import { rowKinds, type VaultBatch } from '../rows/vault-store.ts';
import type { Membership } from './directory.ts';
import { changeSubjects, openBucket, type SubjectChange } from './directory-rows.ts';
import {
  type ConversationRow,
  conversationCodec,
  type DirectoryContext,
  type DirectoryTable,
  type MemberRow,
  memberCodec,
} from './directory-table.ts';

/** The group's bucket ‖ SHA-256(label ‖ group ‖ person), 16 bytes in all. */
export function memberId({ group, person }: Pick<Membership, 'group' | 'person'>): MemberId {
  const bytes = Buffer.concat([labels.member, idToBytes(group), idToBytes(person)]);
  return (group.slice(0, 4) + sha256(bytes).toString('hex', 0, 14)) as MemberId;
}

/** Writes missing member rows, durably; groups and people that are gone are skipped. */
export async function addMembers(
  deps: DirectoryContext,
  app: App,
  memberships: readonly Membership[],
): Promise<void> {
  let left = memberships;
  return retryContended(async () => {
    const rows = await deps.table.members(app.id, left.map(memberId));
    left = left.filter((_, i) => rows[i] === undefined);
    if (left.length === 0) return;
    await nameGroups(
      deps,
      app,
      left.filter((one) => !one.isNamed),
    );
    const groups = [...new Set(left.map((one) => one.group))];
    const entries = await deps.table.conversations(app.id, groups);
    const living = entries.filter((entry) => typeof entry === 'object');
    left = left.filter(({ group }) => living.some((entry) => entry.id === group));
    const batches: VaultBatch[] = [];
    for (const entry of living) {
      const people = left.filter((one) => one.group === entry.id);
      batches.push(await chainBatch(deps, app, { entry, people }));
    }
    const outcomes = await deps.store.commit(batches);
    for (const [i, outcome] of outcomes.entries()) {
      const { id, row } = living[i]!;
      if (outcome === 'done') left = left.filter((one) => one.group !== id);
      else deps.hierarchy.forgetBucketKey(app.id, row.bucket);
    }
    if (left.length === 0) return;
    return again;
  });
}

/** Lets people's entries name groups; people that are gone are skipped. */
export async function nameGroups(
  deps: DirectoryContext,
  app: App,
  memberships: readonly Pick<Membership, 'group' | 'person'>[],
): Promise<void> {
  if (memberships.length === 0) return;
  const groups = new Map<SubjectId, ConversationId[]>();
  for (const { person, group } of memberships) {
    groups.set(person, [...(groups.get(person) ?? []), group]);
  }
  const changes = [...groups].map(([person, more]) => [person, withGroups(more)] as const);
  await changeSubjects(deps, app, new Map(changes));
}

function withGroups(more: readonly ConversationId[]): SubjectChange {
  return (value) => {
    const missing = more.filter((group) => !value.groups.includes(group));
    return missing.length === 0 ? value : { ...value, groups: [...value.groups, ...missing] };
  };
}

/** Puts people at the head of a group's chain; the group's row is raised with it. */
async function chainBatch(
  deps: DirectoryContext,
  app: App,
  added: { entry: ConversationRow; people: readonly Membership[] },
): Promise<VaultBatch> {
  const { entry } = added;
  const bucket = await openBucket(deps, app, entry.row.bucket);
  let previous = entry.value.lastMember;
  const puts = added.people.map((membership) => {
    const id = memberId(membership);
    const plain = memberCodec.encodeTagged({ person: membership.person, previous });
    previous = id;
    return bucket.row(rowKinds.member, id, plain);
  });
  const value = conversationCodec.encodeTagged({ ...entry.value, lastMember: previous });
  return {
    guard: bucket.guard,
    puts: [...puts, bucket.row(rowKinds.conversation, entry.id, value, entry.row)],
  };
}

/** The people of a group's chain, newest first. Throws VAULT_TAMPERED when a link is missing. */
export async function* membersOf(
  table: DirectoryTable,
  app: AppId,
  group: ConversationRow,
): AsyncGenerator<MemberRow> {
  for (let id = group.value.lastMember; id !== null; ) {
    const [member] = await table.members(app, [id]);
    if (member === undefined) {
      throw new LetheError('VAULT_TAMPERED', `a member row of group ${group.id} is missing`);
    }
    yield member;
    id = member.value.previous;
  }
}
