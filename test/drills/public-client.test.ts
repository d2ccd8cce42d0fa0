import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { startServer } from '../../services/server/serve.ts';
import { openTestStore } from '../support/temporary-store.ts';

const FOLDER = join(import.meta.dirname, '../client');
const NAME = 'sunshine-conversations-client';

/** What of the client is used here; it has no types of its own. */
// biome-ignore lint/suspicious/noExplicitAny: an untyped module
type Client = any;

async function openClient(): Promise<{ client: Client; app: string }> {
  const store = await openTestStore();
  const { accessKeys } = store.backends.administration();
  const key = await accessKeys.create({ app: store.app.id, scope: 'app', nowMs: 1 });
  const server = await startServer(store);
  onTestFinished(() => server.stop());
  const client: Client = createRequire(join(FOLDER, 'package.json'))(NAME);
  client.ApiClient.instance.basePath = server.address;
  Object.assign(client.ApiClient.instance.authentications.basicAuth, {
    username: key.id,
    password: key.secret,
  });
  return { client, app: store.app.id };
}

describe('the public client of the adopted REST interface', () => {
  it('works with nothing changed but its base address', async (context) => {
    if (!existsSync(join(FOLDER, 'node_modules', NAME))) {
      if (process.env.CI) throw new Error('npm ci --prefix test/client was not run');
      context.skip('the client is not installed: npm ci --prefix test/client');
    }
    const { client, app } = await openClient();
    const users = new client.UsersApi();
    const conversations = new client.ConversationsApi();
    const messages = new client.MessagesApi();
    const participants = new client.ParticipantsApi();
    const activities = new client.ActivitiesApi();

    const profile = { givenName: 'Ann', email: 'ann@example.org', locale: 'en-US' };
    const metadata = { tier: 'gold' };
    const made = await users.createUser(app, { externalId: 'ann', profile, metadata });
    const userId = made.user.id;
    // The client does not know how to wait for its own writes: it looks again.
    await vi.waitFor(async () => {
      const { user } = await users.getUser(app, 'ann');
      expect(user).toMatchObject({ id: userId, profile, metadata });
    });
    const changed = await users.updateUser(app, userId, { profile: { surname: 'Lee' } });
    expect(changed.user).toMatchObject({
      externalId: 'ann',
      profile: { ...profile, surname: 'Lee' },
    });

    const type = 'personal';
    const own = await conversations.createConversation(app, { type, participants: [{ userId }] });
    const id = own.conversation.id;
    await conversations.updateConversation(app, id, { displayName: 'Order 7' });
    await vi.waitFor(async () => {
      const { conversation } = await conversations.getConversation(app, id);
      expect(conversation.displayName).toBe('Order 7');
    });
    const listed = await conversations.listConversations(app, { userId }, { page: { size: 10 } });
    expect(listed.conversations.map((one: { id: string }) => one.id)).toEqual([id]);

    const group = await conversations.createConversation(app, { type: 'sdkGroup' });
    const groupId = group.conversation.id;
    const joined = await participants.joinConversation(app, groupId, { userId });
    expect(joined.participant.userId).toBe(userId);
    await vi.waitFor(async () => {
      const list = await participants.listParticipants(app, groupId, {});
      expect(list.participants.length).toBe(1);
    });
    await participants.leaveConversation(app, groupId, { userId });
    await conversations.deleteConversation(app, groupId);

    const content = { type: 'text', text: 'Hello' };
    const posted = await messages.postMessage(app, id, {
      author: { type: 'user', userId },
      content,
    });
    await messages.postMessage(app, id, { author: { type: 'business' }, content });
    const read = { author: { type: 'user', userId }, type: 'conversation:read' };
    await activities.postActivity(app, id, read);
    await vi.waitFor(async () => {
      const page = await messages.listMessages(app, id, {});
      const contents = page.messages.map((one: { content: object }) => one.content);
      expect(contents).toMatchObject([content, content]);
    });
    await messages.deleteMessage(app, id, posted.messages[0].id);
    const after = await messages.listMessages(app, id, {});
    expect(after.messages.map((one: { deleted?: true }) => one.deleted)).toEqual([true, undefined]);
    await messages.deleteAllMessages(app, id);

    await users.deleteUserPersonalInformation(app, userId);
    await users.deleteUser(app, userId);
    await expect(users.getUser(app, userId)).rejects.toMatchObject({ status: 404 });
  });
});
