/**
 * The directory's rows: channel-side names, aliases and external conversation ids appear in them
 * only as HMACs under the app's index key; values are wrapped under bucket keys.
 */
import {
  type Alias,
  type AppId,
  bytesToId,
  type ConversationId,
  type IndexId,
  idToBucket,
  idToBytes,
  type MemberId,
  type SubjectId,
} from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { recordCodec } from '../../codec/avro.ts';
import type { HmacKey } from '../../codec/hash.ts';
import { labels } from '../../codec/labels.ts';
import type { AppKeys } from '../../keyring/app-keys.ts';
import type { App } from '../keys/app-registry.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import type { VaultKeyring } from '../rings/vault-keyring.ts';
import { type RowKey, type RowKind, rowKinds, type VaultRow } from '../rows/vault-store.ts';
import { openRow } from '../rows/wrapped-row.ts';
import type {
  ConversationName,
  ConversationValue,
  DirectoryEntry,
  SubjectValue,
} from './directory.ts';

/** That somebody ever joined a group or wrote in it; the rows of a group are a chain. */
export interface MemberValue {
  readonly person: SubjectId;
  readonly previous: MemberId | null;
}

/** A row in plain, with the row it was read from. */
interface RowEntry<Id, Value> extends DirectoryEntry<Id, Value> {
  readonly row: VaultRow;
}
/** A person's entry and its row. */
export type SubjectRow = RowEntry<SubjectId, SubjectValue>;
/** A membership and its row. */
export type MemberRow = RowEntry<MemberId, MemberValue>;
/** A conversation's entry and its row. */
export type ConversationRow = RowEntry<ConversationId, ConversationValue>;

/** Avro of DirectorySubject, with its fingerprint in front. */
export const subjectCodec = recordCodec<SubjectValue>('DirectorySubject');
/** Avro of DirectoryConversation, with its fingerprint in front. */
export const conversationCodec = recordCodec<ConversationValue>('DirectoryConversation');
/** Avro of DirectoryMember, with its fingerprint in front. */
export const memberCodec = recordCodec<MemberValue>('DirectoryMember');
/** Avro of DirectoryReference, with its fingerprint in front. */
export const referenceCodec = recordCodec<{ target: string }>('DirectoryReference');

/** Kinds of directory row that name something by an HMAC. */
export type ReferenceKind =
  | typeof rowKinds.identity
  | typeof rowKinds.alias
  | typeof rowKinds.externalConversation;

/** Turns names into the ids of their rows; the names themselves are not kept. */
export interface NameIndex {
  identity(channel: string, externalId: string): IndexId;
  conversation(name: ConversationName): IndexId;
  alias(alias: Alias): IndexId;
}

/** What a reference led to; `erased` is a marker that names nobody. */
export type ReferenceOutcome = string | 'erased' | undefined;

/** Rows by what they are keyed by. Failures: VAULT_UNREACHABLE, VAULT_TAMPERED. */
export interface DirectoryTable {
  /** Throws INVARIANT_BROKEN when there is no such app: callers look the app up first. */
  names(app: AppId): Promise<NameIndex>;
  references(
    app: AppId,
    kind: ReferenceKind,
    rows: readonly IndexId[],
  ): Promise<ReferenceOutcome[]>;
  subjects(app: AppId, ids: readonly SubjectId[]): Promise<(SubjectRow | undefined)[]>;
  conversations(
    app: AppId,
    ids: readonly ConversationId[],
  ): Promise<(ConversationRow | 'erased' | undefined)[]>;
  members(app: AppId, ids: readonly MemberId[]): Promise<(MemberRow | undefined)[]>;
}

/** The directory row of an id or HMAC: its bucket comes from its first u16. */
export function directoryRow(app: Pick<App, 'id' | 'buckets'>, kind: RowKind, id: string): RowKey {
  const bucket = idToBucket(id as IndexId) % app.buckets;
  return { app: app.id, bucket, kind, id };
}

/** First 16 bytes of HMAC(index key, label ‖ lp(fields)). */
export function indexRowId(
  key: HmacKey,
  label: Buffer,
  fields: readonly (string | Uint8Array)[],
): IndexId {
  return bytesToId<IndexId>(key.digestFields(label, fields).subarray(0, 16));
}

/** What directory rows are read and written with. */
export interface DirectoryContext extends VaultContext {
  readonly table: DirectoryTable;
  /** Takes new rings over once their rows are durable: they are wanted at once. */
  readonly keyring: Pick<VaultKeyring, 'keep' | 'losses' | 'use'>;
}

/** Opens the rows of a vault's directory. */
export function createDirectoryTable(
  deps: Pick<VaultContext, 'store' | 'hierarchy' | 'apps'> & { keys: Pick<AppKeys, 'indexKey'> },
): DirectoryTable {
  const { store, hierarchy, apps, keys } = deps;

  async function readPlain(app: AppId, kind: RowKind, ids: readonly string[]) {
    const found = await apps.find(app);
    if (found === undefined || ids.length === 0) return ids.map(() => undefined);
    const keys = ids.map((id) => directoryRow(found, kind, id));
    const rows = await store.read(keys);
    const present = rows.filter((row) => row !== undefined);
    const bucketKeys = await hierarchy.bucketKeys(
      app,
      present.map((row) => row.bucket),
    );
    const plain: ({ row: VaultRow; plain: Buffer | undefined } | undefined)[] = [];
    for (const row of rows) {
      if (row === undefined) {
        plain.push(undefined);
        continue;
      }
      const current = bucketKeys.get(row.bucket)!;
      const key = current.id === row.wrappingKey ? current : await hierarchy.openerOf(row);
      const opened = openRow(row, key);
      plain.push({ row, plain: opened === 'erased' ? undefined : opened });
    }
    return plain;
  }

  return {
    async names(app) {
      const key = await keys.indexKey(app);
      if (key === undefined) throw new LetheError('INVARIANT_BROKEN', 'no such app');
      return {
        identity: (channel, externalId) =>
          indexRowId(key, labels.identityIndex, [channel, externalId]),
        conversation: ({ source, externalId, person }) => {
          const owner = person === null ? '' : idToBytes(person);
          return indexRowId(key, labels.conversationIndex, [source, externalId, owner]);
        },
        alias: (alias) =>
          bytesToId<IndexId>(
            key.digestFields(labels.aliasIndex, [idToBytes(alias)]).subarray(0, 16),
          ),
      };
    },
    async references(app, kind, ids) {
      const rows = await readPlain(app, kind, ids);
      return rows.map((found) => {
        if (found === undefined) return undefined;
        if (found.plain === undefined) return 'erased';
        return referenceCodec.decodeTagged(found.plain).target;
      });
    },
    async subjects(app, ids) {
      const rows = await readPlain(app, rowKinds.subject, ids);
      return rows.map((found, i) => {
        if (found?.plain === undefined) return undefined;
        const { row } = found;
        const value = subjectCodec.decodeTagged(found.plain);
        return { id: ids[i]!, version: row.version, row, value };
      });
    },
    async members(app, ids) {
      const rows = await readPlain(app, rowKinds.member, ids);
      return rows.map((found, i) => {
        if (found?.plain === undefined) return undefined;
        const { row } = found;
        const value = memberCodec.decodeTagged(found.plain);
        return { id: ids[i]!, version: row.version, row, value };
      });
    },
    async conversations(app, ids) {
      const rows = await readPlain(app, rowKinds.conversation, ids);
      return rows.map((found, i) => {
        if (found === undefined) return undefined;
        if (found.plain === undefined) return 'erased';
        const { row } = found;
        const value = conversationCodec.decodeTagged(found.plain);
        return { id: ids[i]!, version: row.version, row, value };
      });
    },
  };
}
