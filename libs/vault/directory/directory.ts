/**
 * Port: who is who. Identities, aliases and external conversation ids are looked up as they are
 * spelled, and kept as HMACs alone; a person's entry says where their parts lie. No row and no
 * wrapped byte leaves the port.
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), VAULT_TAMPERED, and INVARIANT_BROKEN
 * when there is no such app: callers look the app up first.
 */
import type {
  Alias,
  AppId,
  ConversationId,
  IndexId,
  LossId,
  MemberId,
  PlaceId,
  SubjectId,
} from '../../base/ids.ts';
import type { App } from '../keys/app-registry.ts';

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

/** A channel-side name of somebody. */
export interface IdentityName {
  readonly channel: string;
  readonly externalId: string;
}

/** What a source calls a conversation. Personal ones are named for each person by themselves. */
export interface ConversationName {
  readonly source: string;
  readonly externalId: string;
  /** Of a personal conversation; null: a group. */
  readonly person: SubjectId | null;
}

/** What somebody or something is, as it was read; `version` tells whether it has changed since. */
export interface DirectoryEntry<Id, Value> {
  readonly id: Id;
  readonly version: number;
  readonly value: Value;
}
/** A person as the directory has them. */
export type SubjectEntry = DirectoryEntry<SubjectId, SubjectValue>;
/** A conversation as the directory has it. */
export type ConversationEntry = DirectoryEntry<ConversationId, ConversationValue>;

/** Look-ups; one outcome for each that is asked for, in their order. */
export interface Directory {
  /** Whom identities name now; undefined: nobody. */
  findSubjects(app: AppId, identities: readonly IdentityName[]): Promise<(SubjectId | undefined)[]>;
  /** Whom an alias (a REST user id) names; `erased`: the marker of somebody who is gone. */
  findAlias(app: AppId, alias: Alias): Promise<SubjectId | 'erased' | undefined>;
  findConversations(
    app: AppId,
    names: readonly ConversationName[],
  ): Promise<(ConversationId | undefined)[]>;
  /** The ids under which identities are listed in entries; they say nothing of the identity. */
  identityIds(app: AppId, identities: readonly IdentityName[]): Promise<IndexId[]>;
  /** Undefined: gone, or never there. */
  subjects(app: AppId, ids: readonly SubjectId[]): Promise<(SubjectEntry | undefined)[]>;
  conversations(
    app: AppId,
    ids: readonly ConversationId[],
  ): Promise<(ConversationEntry | 'erased' | undefined)[]>;
  /** Did this person ever join this group, or write in it? */
  isMember(app: AppId, membership: { group: ConversationId; person: SubjectId }): Promise<boolean>;
  /** Everybody who ever joined a group or wrote in it, newest first. */
  members(app: AppId, group: ConversationId): AsyncIterable<SubjectId>;
}

/** Somebody to be known by an identity. `group`: where they are about to write or join. */
export interface Newcomer {
  readonly identity: IdentityName;
  readonly group?: ConversationId;
}

/** The people of newcomers, in their order; `made` holds the entries of those who are new. */
export interface AddedSubjects {
  readonly ids: readonly SubjectId[];
  readonly made: ReadonlyMap<SubjectId, SubjectValue>;
}

/** A conversation to make. Without a name it is a person's default one, or one known by its id. */
export interface NewConversation {
  readonly kind: ConversationKind;
  readonly person: SubjectId | null;
  readonly name: Omit<ConversationName, 'person'> | null;
  readonly isDefault: boolean;
}

/** A person who joins a group or writes in it. */
export interface Membership {
  readonly group: ConversationId;
  readonly person: SubjectId;
  /** Does the person's entry name the group already? It never ceases to. */
  readonly isNamed: boolean;
}

/** Makes and changes entries, durably. More failures: STORE_FULL, CONTENDED (retryable). */
export interface DirectoryWriter {
  /** Makes the person behind each identity that names nobody yet; who it is either way. */
  addSubjects(app: App, newcomers: readonly Newcomer[], nowMs: number): Promise<AddedSubjects>;
  /**
   * Makes conversations, or finds those that another process made meanwhile. Undefined: its person
   * was erased.
   */
  addConversations(
    app: App,
    wanted: readonly NewConversation[],
    nowMs: number,
  ): Promise<(ConversationId | undefined)[]>;
  /** Writes who joins or writes in groups; groups and people that are gone are skipped. */
  addMembers(app: App, memberships: readonly Membership[]): Promise<void>;
  /** Changes people's entries; who is gone is skipped. */
  changeSubjects(
    app: App,
    changes: ReadonlyMap<SubjectId, (value: SubjectValue) => SubjectValue>,
  ): Promise<void>;
}

/** What a clear takes: a conversation's messages, or a person's profile. */
export type ClearedKind = 'messages' | 'profile';

/** Takes entries and names away, durably; each step can be repeated. Privacy alone has this. */
export interface DirectoryShred {
  /** Removes the identities that still lead to this person: one may be in use anew. */
  removeIdentities(app: App, subject: SubjectEntry): Promise<void>;
  /** Turns a person's alias into a marker that names nobody. */
  markAlias(app: App, subject: SubjectEntry): Promise<void>;
  /** Removes a person's entry if it is still the one that was read; false: it has changed. */
  removeSubject(app: App, subject: SubjectEntry): Promise<boolean>;
  /** Takes a conversation's name and members away, and leaves a marker that names nobody. */
  removeConversation(app: App, conversation: ConversationEntry): Promise<void>;
  /**
   * Clears a conversation's messages or a person's profile: the place becomes a fence and a new one
   * takes over, in one conditional batch. `done` also when `place` is not the current one any more.
   */
  replacePlace(
    app: App,
    cleared: { of: ConversationId | SubjectId; kind: ClearedKind; place: PlaceId },
    by: LossId,
  ): Promise<'done' | 'absent'>;
  /**
   * Shreds a group's rings when all who ever joined it or wrote in it are fenced. Its entry stays
   * for the steps that follow. `kept`: somebody is left, or nobody ever was a member.
   */
  shredForsakenGroup(app: App, group: ConversationId, by: LossId): Promise<'shredded' | 'kept'>;
  /** Erases the root of an app: nothing under it can be unwrapped any more. */
  removeAppRoot(app: AppId, by: LossId): Promise<void>;
}
