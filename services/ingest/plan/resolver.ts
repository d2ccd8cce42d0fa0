/**
 * Resolves who is meant and where it belongs: identities to people, references to conversations.
 * What the directory said is cached by app; an entry that turns out to be gone is dropped, and the
 * next look asks the directory again.
 */
import { LRUCache } from 'lru-cache';
import type { ConversationId, IndexId, SubjectId } from '../../../libs/base/ids.ts';
import type {
  Author,
  ConversationReference,
  Identity,
} from '../../../libs/conversation/delivery.ts';
import { AGENT_CHANNEL } from '../../../libs/people/find-subject.ts';
import type {
  ConversationValue,
  Membership,
  NewConversation,
  SubjectValue,
} from '../../../libs/vault/directory/directory.ts';
import type { App } from '../../../libs/vault/keys/app-registry.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';

const CACHED_MAX = 10_000;

export interface KnownSubject {
  readonly id: SubjectId;
  readonly value: SubjectValue;
}

export interface KnownConversation {
  readonly id: ConversationId;
  readonly value: ConversationValue;
}

/** A reference with everything that decides which conversation it names. */
export interface ConversationQuery {
  readonly source: string;
  readonly reference: ConversationReference;
  /** The person of a personal conversation. */
  readonly person: SubjectId | null;
  /** Make it when there is none? */
  readonly create: boolean;
}

/** The agent that a business author is, as an identity; null: nobody. */
export function agentIdentity(source: string, author: Author): Identity | null {
  if (author.type !== 'business') return null;
  const { userId, displayName } = author;
  if (userId !== null) return { channel: AGENT_CHANNEL, externalId: `${source}\0id\0${userId}` };
  if (displayName === null) return null;
  return { channel: AGENT_CHANNEL, externalId: `${source}\0name\0${displayName}` };
}

/** The resolver of one app. */
export class Resolver {
  readonly #powers: IngestPowers;
  readonly app: App;
  readonly #people = new LRUCache<string, SubjectId>({ max: CACHED_MAX });
  readonly #subjects = new LRUCache<SubjectId, SubjectValue>({ max: CACHED_MAX });
  readonly #named = new LRUCache<string, ConversationId>({ max: CACHED_MAX });
  readonly #conversations = new LRUCache<ConversationId, ConversationValue>({ max: CACHED_MAX });
  // Pairs whose member row is known to be there.
  readonly #members = new LRUCache<string, true>({ max: CACHED_MAX });
  /** The last display name seen of each person, to see without a key that it did not change. */
  readonly lastNames = new LRUCache<SubjectId, string>({ max: CACHED_MAX });

  constructor(powers: IngestPowers, app: App) {
    this.#powers = powers;
    this.app = app;
  }

  /** The people of identities, made where they are new; `groups`: where each writes first. */
  async findOrMakePeople(
    identities: readonly Identity[],
    groups: ReadonlyMap<Identity, ConversationId> = new Map(),
  ): Promise<void> {
    const missing = new Map<string, Identity>();
    for (const identity of identities) {
      const key = identityKey(identity);
      // `get`, not `has`: what this batch needs must be the last to leave the cache.
      if (this.#people.get(key) === undefined) missing.set(key, identity);
    }
    if (missing.size > 0) {
      const newcomers = [...missing.values()].map((identity) => {
        const group = groups.get(identity);
        return { identity, ...(group !== undefined && { group }) };
      });
      const nowMs = this.#powers.clock.nowMs();
      const added = await this.#powers.directoryWriter.addSubjects(this.app, newcomers, nowMs);
      for (const [i, key] of [...missing.keys()].entries()) this.#people.set(key, added.ids[i]!);
      for (const [id, value] of added.made) this.#subjects.set(id, value);
    }
    const ids = identities.map((identity) => this.#people.get(identityKey(identity)));
    await this.loadSubjects(ids.filter((id) => id !== undefined));
  }

  /** Looks identities up; whom nobody knows stays unknown. */
  async findPeople(identities: readonly Identity[]): Promise<void> {
    const missing = identities.filter(
      (identity) => this.#people.get(identityKey(identity)) === undefined,
    );
    if (missing.length > 0) {
      const found = await this.#powers.directory.findSubjects(this.app.id, missing);
      for (const [i, subject] of found.entries()) {
        if (subject !== undefined) this.#people.set(identityKey(missing[i]!), subject);
      }
    }
    // Also of those who are known: what is known of them may have left the cache.
    const ids = identities.map((identity) => this.#people.get(identityKey(identity)));
    await this.loadSubjects(ids.filter((id) => id !== undefined));
  }

  /** Loads what the directory knows of subjects; those that are gone stay unknown. */
  async loadSubjects(ids: readonly SubjectId[]): Promise<void> {
    const missing = [...new Set(ids)].filter((id) => this.#subjects.get(id) === undefined);
    if (missing.length === 0) return;
    const entries = await this.#powers.directory.subjects(this.app.id, missing);
    for (const entry of entries) if (entry) this.#subjects.set(entry.id, entry.value);
  }

  /** The person of an identity that `people` has seen; undefined: gone meanwhile. */
  person(identity: Identity): KnownSubject | undefined {
    const id = this.#people.get(identityKey(identity));
    return id === undefined ? undefined : this.subject(id);
  }

  subject(id: SubjectId): KnownSubject | undefined {
    const value = this.#subjects.get(id);
    return value && { id, value };
  }

  /** The id under which an identity is listed in its person's entry. */
  async identityId(identity: Identity): Promise<IndexId> {
    return (await this.#powers.directory.identityIds(this.app.id, [identity]))[0]!;
  }

  /** The conversations of queries: undefined where there is none and none is to be made. */
  async findOrMakeConversations(
    queries: readonly ConversationQuery[],
  ): Promise<(KnownConversation | undefined)[]> {
    const missing = new Map<string, ConversationQuery>();
    for (const query of queries) {
      const key = queryKey(query);
      const known = this.#known(query, key);
      if (known !== undefined) continue;
      const create = query.create || (missing.get(key)?.create ?? false);
      missing.set(key, { ...query, create });
    }
    await this.#findOrMake([...missing.values()]);
    await this.loadConversations(
      queries.map((query) => this.#known(query, queryKey(query))).filter((id) => id !== undefined),
    );
    return queries.map((query) => {
      const id = this.#known(query, queryKey(query));
      return id === undefined ? undefined : this.conversation(id);
    });
  }

  /** The group of a reference, if it was found before. */
  knownGroup(source: string, reference: ConversationReference): ConversationId | undefined {
    if (reference.type !== 'sdkGroup') return undefined;
    return this.#named.get(queryKey({ source, reference, person: null, create: false }));
  }

  /** What is known of a conversation whose id was loaded. */
  conversation(id: ConversationId): KnownConversation | undefined {
    const value = this.#conversations.get(id);
    return value && { id, value };
  }

  async loadConversations(ids: readonly ConversationId[]): Promise<void> {
    const missing = [...new Set(ids)].filter((id) => this.#conversations.get(id) === undefined);
    if (missing.length === 0) return;
    const entries = await this.#powers.directory.conversations(this.app.id, missing);
    for (const entry of entries) {
      if (typeof entry === 'object') this.#conversations.set(entry.id, entry.value);
    }
  }

  /** Writes down who joins or writes in groups, where it is not known yet. */
  async recordMembers(
    memberships: readonly { group: ConversationId; person: SubjectId }[],
  ): Promise<void> {
    const missing = new Map<string, Membership>();
    for (const { group, person } of memberships) {
      const key = group + person;
      if (this.#members.has(key) || missing.has(key)) continue;
      const isNamed = this.#subjects.get(person)?.groups.includes(group) ?? false;
      missing.set(key, { group, person, isNamed });
    }
    if (missing.size === 0) return;
    await this.#powers.directoryWriter.addMembers(this.app, [...missing.values()]);
    for (const key of missing.keys()) this.#members.set(key, true);
  }

  #known(query: ConversationQuery, key: string): ConversationId | undefined {
    const known = this.#named.get(key);
    if (known !== undefined || query.reference.externalId !== null) return known;
    const person = query.person === null ? undefined : this.#subjects.get(query.person);
    return person?.defaultConversation ?? undefined;
  }

  async #findOrMake(queries: readonly ConversationQuery[]): Promise<void> {
    if (queries.length === 0) return;
    const nameOf = ({ source, person, reference: { externalId } }: ConversationQuery) =>
      externalId === null ? null : { source, externalId, person };
    const named = queries.filter((query) => nameOf(query) !== null);
    const names = named.map((query) => nameOf(query)!);
    const found = await this.#powers.directory.findConversations(this.app.id, names);
    const toMake: { query: ConversationQuery; wanted: NewConversation }[] = [];
    for (const query of queries) {
      const known = found[named.indexOf(query)];
      if (known !== undefined) this.#named.set(queryKey(query), known);
      else if (query.create) {
        const { person, reference, source } = query;
        const { externalId, type: kind } = reference;
        const name = externalId === null ? null : { source, externalId };
        const wanted = { kind, person, name, isDefault: name === null };
        toMake.push({ query, wanted });
      }
    }
    const made = await this.#powers.directoryWriter.addConversations(
      this.app,
      toMake.map((one) => one.wanted),
      this.#powers.clock.nowMs(),
    );
    for (const [i, id] of made.entries()) {
      if (id !== undefined) this.#named.set(queryKey(toMake[i]!.query), id);
    }
  }

  /** The directory's change after an announcement, applied to the cache as well. */
  changed(subject: SubjectId, change: (value: SubjectValue) => SubjectValue): void {
    const value = this.#subjects.get(subject);
    if (value !== undefined) this.#subjects.set(subject, change(value));
  }

  /** Drops what is known of people, conversations and places that lost something. */
  forgetLost(lost: ReadonlySet<string>): void {
    for (const [key, id] of this.#people.entries()) if (lost.has(id)) this.#people.delete(key);
    for (const [id, { profilePlace, recordPlace }] of this.#subjects.entries()) {
      if (![id, profilePlace, recordPlace].some((one) => lost.has(one))) continue;
      this.#subjects.delete(id);
      this.lastNames.delete(id);
    }
    for (const [id, { person, messagePlace, profilePlace }] of this.#conversations.entries()) {
      if ([id, person, messagePlace, profilePlace].some((one) => one !== null && lost.has(one))) {
        this.#conversations.delete(id);
      }
    }
  }

  /** Drops everything: after a loss, which is rare, asking again costs less than being wrong. */
  forget(): void {
    this.#people.clear();
    this.#subjects.clear();
    this.#named.clear();
    this.#conversations.clear();
    this.#members.clear();
    this.lastNames.clear();
  }
}

function identityKey({ channel, externalId }: Identity): string {
  return `${channel}\0${externalId}`;
}

// A person's default conversation has no external id and is known by the person; their others are
// named for them alone.
function queryKey({ source, reference, person }: ConversationQuery): string {
  if (reference.externalId === null) return `\0${person}`;
  return `${person ?? ''}\0${source}\0${reference.externalId}`;
}
