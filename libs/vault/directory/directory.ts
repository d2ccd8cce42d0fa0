/**
 * The directory: who is who. Channel-side names, aliases and external conversation ids appear in it
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
  type PlaceId,
  type SubjectId,
} from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { recordCodec } from '../../codec/avro.ts';
import type { HmacKey } from '../../codec/hash.ts';
import { labels } from '../../codec/labels.ts';
import type { KeyringUse } from '../../keyring/keyring.ts';
import type { AppRegistry } from '../keys/app-registry.ts';
import type { KeyHierarchy } from '../keys/key-hierarchy.ts';
import {
  type RowKey,
  type RowKind,
  rowKinds,
  type VaultRow,
  type VaultStore,
} from '../rows/vault-store.ts';
import { openRow } from '../rows/wrapped-row.ts';

/** Where the parts of a person lie. */
export interface SubjectValue {
  readonly alias: Alias;
  readonly profilePlace: PlaceId;
  readonly recordPlace: PlaceId;
  /** Identity rows, and whether an IdentityLinked event of each is on the log. */
  readonly identities: readonly { row: IndexId; announced: boolean }[];
  /** HMAC of the last channel name under the id key of the profile place. */
  readonly nameMark: string | null;
  readonly conversations: readonly ConversationId[];
  readonly defaultConversation: ConversationId | null;
  /** Groups that they ever joined or wrote in. */
  readonly groups: readonly ConversationId[];
  readonly createdAt: number;
}

export type ConversationKind = 'personal' | 'sdkGroup';

/** What a conversation is and where its parts lie. */
export interface ConversationValue {
  readonly kind: ConversationKind;
  readonly person: SubjectId | null;
  readonly messagePlace: PlaceId;
  readonly profilePlace: PlaceId;
  readonly externalRow: IndexId | null;
  readonly isDefault: boolean;
  /** Of a group: its newest member row. */
  readonly lastMember: MemberId | null;
  readonly createdAt: number;
}

/** That somebody ever joined a group or wrote in it; the rows of a group are a chain. */
export interface MemberValue {
  readonly person: SubjectId;
  readonly previous: MemberId | null;
}

/** A directory row in plain, with the row it was read from. */
export interface Entry<Id, Value> {
  readonly id: Id;
  readonly row: VaultRow;
  readonly value: Value;
}
export type SubjectEntry = Entry<SubjectId, SubjectValue>;
export type MemberEntry = Entry<MemberId, MemberValue>;
export type ConversationEntry = Entry<ConversationId, ConversationValue>;

export const subjectCodec = recordCodec<SubjectValue>('DirectorySubject');
export const conversationCodec = recordCodec<ConversationValue>('DirectoryConversation');
export const memberCodec = recordCodec<MemberValue>('DirectoryMember');
export const referenceCodec = recordCodec<{ target: string }>('DirectoryReference');

/** Kinds of directory row that name something by an HMAC. */
export type ReferenceKind =
  | typeof rowKinds.identity
  | typeof rowKinds.alias
  | typeof rowKinds.externalConversation;

/** Turns names into the ids of their rows; the names themselves are not kept. */
export interface DirectoryNames {
  identity(channel: string, externalId: string): IndexId;
  conversation(source: string, externalId: string): IndexId;
  alias(alias: Alias): IndexId;
}

/** What a reference led to; `erased` is a marker that names nobody. */
export type ReferenceOutcome = string | 'erased' | undefined;

/** Look-ups. Failures: VAULT_UNREACHABLE, VAULT_TAMPERED. */
export interface Directory {
  /** Throws INVARIANT_BROKEN when there is no such app: callers look the app up first. */
  names(app: AppId): Promise<DirectoryNames>;
  references(
    app: AppId,
    kind: ReferenceKind,
    rows: readonly IndexId[],
  ): Promise<ReferenceOutcome[]>;
  subjects(app: AppId, ids: readonly SubjectId[]): Promise<(SubjectEntry | undefined)[]>;
  conversations(
    app: AppId,
    ids: readonly ConversationId[],
  ): Promise<(ConversationEntry | 'erased' | undefined)[]>;
  members(app: AppId, ids: readonly MemberId[]): Promise<(MemberEntry | undefined)[]>;
}

/** The directory row of an id or HMAC: its bucket comes from its first u16. */
export function directoryRow(at: { app: AppId; buckets: number }, kind: RowKind, id: string) {
  const bucket = idToBucket(id as IndexId) % at.buckets;
  return { app: at.app, bucket, kind, id } satisfies RowKey;
}

/** First 16 bytes of HMAC(index key, label ‖ lp(fields)). */
export function indexRowId(key: HmacKey, label: Buffer, fields: readonly string[]): IndexId {
  return bytesToId<IndexId>(key.digestFields(label, fields).subarray(0, 16));
}

/** Opens the directory of a vault for look-ups. */
export function createDirectory(deps: {
  store: VaultStore;
  hierarchy: KeyHierarchy;
  apps: AppRegistry;
  keyring: Pick<KeyringUse, 'indexKey'>;
}): Directory {
  const { store, hierarchy, apps, keyring } = deps;

  async function readPlain(app: AppId, kind: RowKind, ids: readonly string[]) {
    const found = await apps.find(app);
    if (found === undefined || ids.length === 0) return ids.map(() => undefined);
    const keys = ids.map((id) => directoryRow({ app, buckets: found.buckets }, kind, id));
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
      const key = await keyring.indexKey(app);
      if (key === undefined) throw new LetheError('INVARIANT_BROKEN', 'no such app');
      return {
        identity: (channel, externalId) =>
          indexRowId(key, labels.identityIndex, [channel, externalId]),
        conversation: (source, externalId) =>
          indexRowId(key, labels.conversationIndex, [source, externalId]),
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
        return { id: ids[i]!, row: found.row, value: subjectCodec.decodeTagged(found.plain) };
      });
    },
    async members(app, ids) {
      const rows = await readPlain(app, rowKinds.member, ids);
      return rows.map((found, i) => {
        if (found?.plain === undefined) return undefined;
        return { id: ids[i]!, row: found.row, value: memberCodec.decodeTagged(found.plain) };
      });
    },
    async conversations(app, ids) {
      const rows = await readPlain(app, rowKinds.conversation, ids);
      return rows.map((found, i) => {
        if (found === undefined) return undefined;
        if (found.plain === undefined) return 'erased';
        const value = conversationCodec.decodeTagged(found.plain);
        return { id: ids[i]!, row: found.row, value };
      });
    },
  };
}
