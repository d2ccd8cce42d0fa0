/** Reads a test store as its consumers do. */
import type { ConversationId, SubjectId } from '../../libs/base/ids.ts';
import { isTombstone } from '../../libs/event-log/event-log.ts';
import { readLog } from '../../libs/event-log/read-log.ts';
import type { RingRef } from '../../libs/keyring/ring.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import { type MessageJson, readMessages } from '../../services/reader/read-messages.ts';
import { identity } from './events.ts';
import type { TestStore } from './temporary-store.ts';

/** The subject behind a test identity; fails when there is none. */
export async function subjectOf(store: TestStore, name: string): Promise<SubjectId> {
  const { directory } = store.backends.reader();
  const [subject] = await directory.findSubjects(store.app.id, [identity(name)]);
  if (subject === undefined) throw new Error(`nobody is known as ${name}`);
  return subject;
}

/** The group of an external id; with `of`, that person's conversation of this name. */
export async function groupOf(
  store: TestStore,
  externalId = 'room-1',
  { of }: { of?: string } = {},
): Promise<ConversationId> {
  const { directory } = store.backends.reader();
  const person = of === undefined ? null : await subjectOf(store, of);
  const name = { source: '/channels/chat/main', externalId, person };
  const [found] = await directory.findConversations(store.app.id, [name]);
  if (found === undefined) throw new Error(`no conversation ${externalId}`);
  return found;
}

/** The ring of the place where a conversation's messages lie now. */
export async function placeRingOf(store: TestStore, group: ConversationId): Promise<RingRef> {
  const [entry] = await store.backends.reader().directory.conversations(store.app.id, [group]);
  if (typeof entry !== 'object') throw new Error('no such conversation');
  return { app: store.app.id, kind: ringKinds.place, id: entry.value.messagePlace };
}

/** A person's default conversation. */
export async function defaultConversationOf(
  store: TestStore,
  name: string,
): Promise<ConversationId> {
  const { directory } = store.backends.reader();
  const [entry] = await directory.subjects(store.app.id, [await subjectOf(store, name)]);
  return entry!.value.defaultConversation!;
}

/** All messages of a conversation, oldest first. */
export async function messagesOf(
  store: TestStore,
  conversation: ConversationId,
): Promise<MessageJson[]> {
  const page = { after: '00', limit: 100_000 };
  const query = { conversation, page };
  return (await readMessages(store.backends.reader(), store.app.id, query)).messages;
}

/** The texts of a conversation; null for a placeholder. */
export async function textsOf(
  store: TestStore,
  conversation: ConversationId,
): Promise<(string | null)[]> {
  const messages = await messagesOf(store, conversation);
  return messages.map((one) => (one.deleted ? null : (one.content!.text as string)));
}

/** Every record of the log, partition by partition; tombstones are passed over. */
export async function* recordsOf({ backends }: Pick<TestStore, 'backends'>) {
  for await (const records of readLog(backends.reader().log)) {
    for (const record of records) if (!isTombstone(record)) yield record;
  }
}
