/** The directory over the vault's rows: what is asked by name is looked up by its HMAC. */
import type { ConversationId, IndexId, SubjectId } from '../../base/ids.ts';
import { rowKinds } from '../rows/vault-store.ts';
import type { Directory, DirectoryEntry } from './directory.ts';
import type { DirectoryTable } from './directory-table.ts';
import { memberId, membersOf } from './group-members.ts';

/** Opens the directory for look-ups. */
export function createDirectory(table: DirectoryTable): Directory {
  return {
    async findSubjects(app, identities) {
      const rows = await identityRows(table, app, identities);
      const found = await table.references(app, rowKinds.identity, rows);
      return found.map((id) => (id === 'erased' ? undefined : (id as SubjectId | undefined)));
    },
    async findAlias(app, alias) {
      const row = (await table.names(app)).alias(alias);
      const [found] = await table.references(app, rowKinds.alias, [row]);
      return found as SubjectId | 'erased' | undefined;
    },
    async findConversations(app, wanted) {
      if (wanted.length === 0) return [];
      const names = await table.names(app);
      const rows = wanted.map((one) => names.conversation(one));
      const found = await table.references(app, rowKinds.externalConversation, rows);
      return found.map((id) => (id === 'erased' ? undefined : (id as ConversationId | undefined)));
    },
    identityIds: (app, identities) => identityRows(table, app, identities),
    async subjects(app, ids) {
      return (await table.subjects(app, ids)).map((entry) => entry && withoutRow(entry));
    },
    async conversations(app, ids) {
      const entries = await table.conversations(app, ids);
      return entries.map((entry) => (typeof entry === 'object' ? withoutRow(entry) : entry));
    },
    async isMember(app, membership) {
      const [member] = await table.members(app, [memberId(membership)]);
      return member !== undefined;
    },
    async *members(app, id) {
      const [group] = await table.conversations(app, [id]);
      if (typeof group !== 'object') return;
      for await (const { value } of membersOf(table, app, group)) yield value.person;
    },
  };
}

async function identityRows(
  table: DirectoryTable,
  app: Parameters<Directory['identityIds']>[0],
  identities: Parameters<Directory['identityIds']>[1],
): Promise<IndexId[]> {
  if (identities.length === 0) return [];
  const names = await table.names(app);
  return identities.map(({ channel, externalId }) => names.identity(channel, externalId));
}

function withoutRow<Id, Value>(entry: DirectoryEntry<Id, Value>): DirectoryEntry<Id, Value> {
  const { id, version, value } = entry;
  return { id, version, value };
}
