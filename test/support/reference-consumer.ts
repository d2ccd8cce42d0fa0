/**
 * A consumer as the pages describe one: it keeps a copy of an app in a file, follows the stream,
 * and purges what it is told to. Run as: reference-consumer.ts APP_URL AUTHORIZATION FILE
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

// biome-ignore lint/suspicious/noExplicitAny: a consumer knows JSON alone
type Json = any;
interface Copy {
  cursor: string;
  users: Record<string, Json>;
  conversations: Record<string, Conversation>;
}
interface Conversation {
  /** Whose it is, if it is a personal one. */
  userId?: string;
  /** As GET tells it. */
  about?: Json;
  participants: string[];
  messages: Record<string, Json>;
}

const [url, authorization, file] = process.argv.slice(2) as [string, string, string];
const empty = (): Copy => ({ cursor: '', users: {}, conversations: {} });
let copy: Copy = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : empty();

/** Cursor and copy are written together: whoever is killed goes on where the copy stands. */
function save(cursor: string): void {
  copy.cursor = cursor || copy.cursor;
  writeFileSync(`${file}.new`, JSON.stringify(copy));
  renameSync(`${file}.new`, file);
}

async function get(path: string): Promise<Json> {
  const answer = await fetch(url + path, { headers: { authorization } });
  return answer.status === 404 ? undefined : answer.json();
}

async function* all(path: string, name: string): AsyncGenerator<Json> {
  const at = path.includes('?') ? '&' : '?';
  for (let cursor = ''; ; ) {
    const page = await get(path + (cursor && `${at}page[after]=${cursor}`));
    yield* page?.[name] ?? [];
    if (!page?.meta.hasMore) return;
    cursor = page.meta.afterCursor;
  }
}

const conversationOf = (id: string) => {
  copy.conversations[id] ??= { participants: [], messages: {} };
  return copy.conversations[id];
};

function keep(conversation: { id: string; userId?: string }, message: Json): void {
  const own = conversationOf(conversation.id);
  if (conversation.userId !== undefined) own.userId = conversation.userId;
  if (message.deleted) delete own.messages[message.id];
  else own.messages[message.id] = message;
}

async function readAll(): Promise<void> {
  copy = empty();
  for await (const user of all('/users', 'users')) copy.users[user.id] = user;
  for await (const { id } of all('/conversations', 'conversations')) {
    await readConversation(id);
    await readMessages({ id });
  }
}

async function readConversation(id: string): Promise<void> {
  const found = await get(`/conversations/${id}`);
  if (found === undefined) return void delete copy.conversations[id];
  const own = conversationOf(id);
  own.about = found.conversation;
  const participants = all(`/conversations/${id}/participants`, 'participants');
  own.participants = (await Array.fromAsync(participants)).map(({ userId }) => userId);
  if (own.about.type === 'personal') own.userId = own.participants[0]!;
}

async function readMessages(conversation: { id: string }): Promise<void> {
  conversationOf(conversation.id);
  const path = `/conversations/${conversation.id}/messages`;
  let page = await get(path);
  for (;;) {
    for (const message of page?.messages ?? []) keep(conversation, message);
    if (!page?.meta.hasMore) return;
    page = await get(`${path}?page[before]=${page.meta.beforeCursor}`);
  }
}

/** What an event asks for; see the table of the stream. */
async function apply(type: string, payload: Json): Promise<void> {
  const { user, conversation, message } = payload;
  const conversations = Object.entries(copy.conversations);
  if (type === 'stream:reset' || type === 'days:remove') return readAll();
  if (type === 'user:remove') {
    delete copy.users[user.id];
    for (const [id, own] of conversations) {
      if (own.userId === user.id) delete copy.conversations[id];
      own.participants = own.participants.filter((one) => one !== user.id);
      for (const [name, one] of Object.entries(own.messages)) {
        const isOthers = (by: { userId?: string }) => by.userId !== user.id;
        if (one.author?.userId === user.id) delete own.messages[name];
        one.reactions = one.reactions?.filter(isOthers);
        one.receipts = one.receipts?.filter(isOthers);
      }
    }
  } else if (type.startsWith('user:') || type === 'client:add') {
    if (user === undefined) return;
    const found = await get(`/users/${user.id}`);
    if (found === undefined) delete copy.users[user.id];
    else copy.users[user.id] = found.user;
    rename(user.id, found?.user.displayName);
  } else if (type === 'message:remove') {
    delete conversationOf(conversation.id).messages[message.id];
    // It may have come and gone while nobody looked.
    if (conversationOf(conversation.id).about === undefined)
      await readConversation(conversation.id);
  } else if (type === 'conversation:clear') {
    conversationOf(conversation.id).messages = {};
    // What was written after it may have come before it.
    await readMessages(conversation);
  } else if (type === 'conversation:remove') delete copy.conversations[conversation.id];
  else if (message === undefined && conversation !== undefined) {
    await readConversation(conversation.id);
  } else if (message !== undefined) {
    keep(conversation, message);
    // Whoever writes in a group takes part in it; and it may be new here.
    const { about, participants } = conversationOf(conversation.id);
    const author = message.author?.type === 'user' ? message.author.userId : undefined;
    const isNew = author !== undefined && !participants.includes(author);
    if (isNew || about === undefined) await readConversation(conversation.id);
  }
}

/** Messages call a person by the name that they have now. */
function rename(userId: string, displayName: string | undefined): void {
  for (const { messages } of Object.values(copy.conversations)) {
    for (const { author } of Object.values(messages)) {
      if (author?.type === 'user' && author.userId === userId) author.displayName = displayName;
    }
  }
}

async function follow(): Promise<void> {
  const isNew = copy.cursor === '';
  const resume = isNew ? {} : { 'last-event-id': copy.cursor };
  const answer = await fetch(`${url}/stream`, { headers: { authorization, ...resume } });
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of answer.body!) {
    text += decoder.decode(chunk, { stream: true });
    const events = text.split('\n\n');
    text = events.pop()!;
    for (const event of events) {
      const id = /^id: (.+)$/m.exec(event)?.[1] ?? '';
      const data = /^data: (.+)$/m.exec(event)?.[1];
      // What was there before the stream began is read when it has begun: nothing lies between.
      if (isNew && copy.cursor === '') await readAll();
      if (data !== undefined) {
        const { type, payload } = JSON.parse(data);
        await apply(type, payload);
      }
      save(id);
    }
  }
}

for (;;) {
  await follow().catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 200));
}
