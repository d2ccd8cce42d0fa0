/** The reading half of the REST interface. */
import { Type } from 'typebox';
import type { AppId, ConversationId, MessageId } from '../../libs/base/ids.ts';
import { textToId } from '../../libs/base/ids.ts';
import type { Position } from '../../libs/conversation/view-changes.ts';
import { answers as answered } from '../../libs/http/answers.ts';
import type { HandedAnswers } from '../../libs/http/handed-answers.ts';
import { HeldBytes } from '../../libs/http/held-bytes.ts';
import { badRequest, notFound } from '../../libs/http/http-error.ts';
import type { HttpServer } from '../../libs/http/http-server.ts';
import { awaitPositions } from '../../libs/http/positions.ts';
import {
  AppParameters,
  ConversationParameters,
  MessageParameters,
  subjectOfPath,
  UserParameters,
} from '../../libs/http/route-parameters.ts';
import { waitForViews } from '../../libs/projection/views-behind.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import type { ListPage, PageRequest } from '../../libs/views/view-store.ts';
import type { ReaderPowers } from '../../libs/wiring/powers.ts';
import { cursorToPosition, positionToCursor, readPage } from './list-page.ts';
import {
  conversationsOf,
  conversationsOfApp,
  readConversation,
  readParticipants,
  readUser,
  usersOfApp,
} from './read-conversations.ts';
import { readMessage, readMessages } from './read-messages.ts';

/** Messages come in pages of this many, as in the adopted interface. */
const PAGE_MESSAGES = 100;
/** A page of messages ends here, sealed: of the longest ones it has fewer. */
const PAGE_BYTES_MAX = 4 * 1_048_576;
const PAGES_HELD_BYTES_MAX = 64 * 1_048_576;
/** Shorter pages are not counted: the kernel takes them at once, however slow their clients are. */
const LONG_PAGE_BYTES = 65_536;
const PAGE_SIZE_DEFAULT = 25;

const PAGE_SIZE = Type.Optional(Type.Integer({ minimum: 1, maximum: 100 }));
const CURSOR = Type.Optional(Type.String({ maxLength: 64, description: 'From meta of a page' }));
// A mistyped filter must not answer with everything: unknown parameters are refused.
const CLOSED = { additionalProperties: false };
const PageQuery = Type.Object(
  { 'page[after]': CURSOR, 'page[before]': CURSOR, 'page[size]': PAGE_SIZE },
  CLOSED,
);
const LIST = { 'page[after]': CURSOR, 'page[size]': PAGE_SIZE };
const ListQuery = Type.Object(LIST, CLOSED);
const ConversationsQuery = Type.Object(
  {
    ...LIST,
    'filter[userId]': Type.Optional(Type.String({ maxLength: 512 })),
    'filter[userExternalId]': Type.Optional(Type.String({ maxLength: 512 })),
  },
  CLOSED,
);

/** Adds the routes. */
export function addReaderRoutes(
  server: HttpServer,
  powers: ReaderPowers,
  answers: HandedAnswers,
): void {
  // Numbers of a query come as text.
  server.addHook('preValidation', async ({ query }) => {
    const asked = query as Record<string, unknown>;
    const size = asked['page[size]'];
    if (typeof size === 'string' && /^\d{1,9}$/.test(size)) asked['page[size]'] = Number(size);
  });
  server.addHook('preHandler', async (request) => {
    await awaitPositions(request, powers.cursors, (positions, timeoutMs) =>
      waitForViews(powers, positions, timeoutMs),
    );
  });
  const powersFor: AnswerPowers = (request) => answers.powersFor(request, powers);
  addCanaryRoute(server, powersFor);
  addUserRoute(server, powersFor);
  addConversationRoutes(server, powersFor);
  addMessageRoutes(server, powersFor);
}

/** The reader's powers for one request. */
type AnswerPowers = (request: object) => ReaderPowers;

/** Shows the attack of an erasure that this service opens what it may, and tells of nobody. */
function addCanaryRoute(server: HttpServer, powersFor: AnswerPowers): void {
  const schema = { hide: true, params: AppParameters };
  server.get('/v2/apps/:appId/canary', { schema }, async (request) => {
    const app = request.params.appId as AppId;
    const ref = { app, kind: ringKinds.app, id: app };
    const { keyring } = powersFor(request);
    const isOpen = await keyring.use([ref], async ([ring]) => typeof ring === 'object');
    if (!isOpen) throw notFound.app();
    return { canary: 'opens' };
  });
}

function addUserRoute(server: HttpServer, powersFor: AnswerPowers): void {
  const tags = ['users'];
  server.get(
    '/v2/apps/:appId/users',
    {
      schema: {
        summary: 'Users of the app, newest first',
        response: { 200: answered.users },
        tags,
        params: AppParameters,
        querystring: ListQuery,
      },
    },
    async (request) => {
      const users = usersOfApp(powersFor(request), request.params.appId as AppId);
      const { items, meta } = await readPage(users, listPageOf(request.query));
      return { users: items, meta, links: {} };
    },
  );
  const response = { 200: answered.user };
  const schema = { summary: 'One user', tags, params: UserParameters, response };
  server.get('/v2/apps/:appId/users/:userId', { schema }, async (request) => {
    const powers = powersFor(request);
    const app = request.params.appId as AppId;
    const subject = await subjectOfPath(powers.directory, app, request.params.userId);
    const user = await readUser(powers, app, subject);
    if (user === undefined) throw notFound.userErased();
    return { user };
  });
}

async function conversationOf(powers: ReaderPowers, app: AppId, text: string) {
  const id = textToId<ConversationId>(text);
  const found = id === undefined ? undefined : await readConversation(powers, app, id);
  if (id === undefined || typeof found !== 'object') throw notFound.conversation();
  return { id, conversation: found };
}

function addConversationRoutes(server: HttpServer, powersFor: AnswerPowers): void {
  const tags = ['conversations'];
  server.get(
    '/v2/apps/:appId/conversations',
    {
      schema: {
        summary: 'Conversations of a user, or (without a filter) of the app, newest first',
        response: { 200: answered.conversations },
        tags,
        params: AppParameters,
        querystring: ConversationsQuery,
      },
    },
    async (request) => {
      const powers = powersFor(request);
      const app = request.params.appId as AppId;
      const { query } = request;
      const user = query['filter[userId]'] ?? query['filter[userExternalId]'];
      const list =
        user === undefined
          ? conversationsOfApp(powers, app)
          : conversationsOf(powers, app, await subjectOfPath(powers.directory, app, user));
      const { items, meta } = await readPage(list, listPageOf(query));
      return { conversations: items, meta, links: {} };
    },
  );
  server.get(
    '/v2/apps/:appId/conversations/:conversationId',
    {
      schema: {
        summary: 'One conversation',
        tags,
        params: ConversationParameters,
        response: { 200: answered.conversation },
      },
    },
    async (request) => {
      const powers = powersFor(request);
      const { appId, conversationId } = request.params;
      const { conversation } = await conversationOf(powers, appId as AppId, conversationId);
      return { conversation };
    },
  );
  server.get(
    '/v2/apps/:appId/conversations/:conversationId/participants',
    {
      schema: {
        summary: 'Who takes part, newest first',
        response: { 200: answered.participants },
        tags,
        params: ConversationParameters,
        querystring: ListQuery,
      },
    },
    async (request) => {
      const powers = powersFor(request);
      const app = request.params.appId as AppId;
      const { id } = await conversationOf(powers, app, request.params.conversationId);
      const list = await readParticipants(powers, app, id);
      const { items, meta } = await readPage(list, listPageOf(request.query));
      return { participants: items, meta, links: {} };
    },
  );
}

function addMessageRoutes(server: HttpServer, powersFor: AnswerPowers): void {
  const tags = ['messages'];
  const held = new HeldBytes(PAGES_HELD_BYTES_MAX, 'Too many long pages are being read at once');
  server.get(
    '/v2/apps/:appId/conversations/:conversationId/messages',
    {
      schema: {
        summary: 'Messages, oldest first within a page; without a cursor the newest page',
        response: { 200: answered.messages },
        tags,
        params: ConversationParameters,
        querystring: PageQuery,
      },
    },
    async (request, reply) => {
      const powers = powersFor(request);
      const app = request.params.appId as AppId;
      const { id } = await conversationOf(powers, app, request.params.conversationId);
      const page = await pageOf(powers, id, request.query);
      const size = request.query['page[size]'] ?? PAGE_MESSAGES;
      const asked = { ...page, limit: size + 1, bytesMax: PAGE_BYTES_MAX };
      // Until the client has it: one that reads slowly keeps it in memory.
      const hold = (bytes: number) => {
        if (bytes > LONG_PAGE_BYTES) held.holdUntilTaken(app, bytes, reply);
      };
      const query = { conversation: id, page: asked, hold };
      const { messages, views, isCut } = await readMessages(powers, app, query);
      const isBeyond = views.length > size;
      const hasMore = isBeyond || isCut;
      // The one beyond the page only tells that there is more; it lies at the far end.
      const from = isBeyond && page.after === undefined ? 1 : 0;
      const shown = messages.slice(from, from + size);
      const places = views.slice(from, from + size).map(({ position }) => position);
      const cursors = places.length > 0 && {
        beforeCursor: positionToCursor(places[0]!),
        afterCursor: positionToCursor(places.at(-1)!),
      };
      return { messages: shown, meta: { hasMore, ...cursors }, links: {} };
    },
  );
  server.get(
    '/v2/apps/:appId/conversations/:conversationId/messages/:messageId',
    {
      schema: {
        summary: 'One message',
        tags,
        params: MessageParameters,
        response: { 200: answered.message },
      },
    },
    async (request) => {
      const powers = powersFor(request);
      const app = request.params.appId as AppId;
      const { id } = await conversationOf(powers, app, request.params.conversationId);
      const message = textToId<MessageId>(request.params.messageId);
      if (message === undefined) throw notFound.message();
      const found = await readMessage(powers, app, { conversation: id, message });
      if (found === undefined) throw notFound.message();
      return { message: found };
    },
  );
}

/** Which page of a list is asked for. */
function listPageOf(query: { 'page[after]'?: string; 'page[size]'?: number }): ListPage {
  const limit = query['page[size]'] ?? PAGE_SIZE_DEFAULT;
  const after = query['page[after]'];
  if (after === undefined) return { limit };
  const before = cursorToPosition(after);
  if (before === undefined) {
    throw badRequest('Expected `meta.afterCursor` of another page of this list', '/page[after]');
  }
  return { limit, before };
}

/** Where a page of messages begins or ends: at a cursor, or at the id of a message. */
async function pageOf(
  powers: ReaderPowers,
  conversation: ConversationId,
  query: { 'page[after]'?: string; 'page[before]'?: string },
): Promise<Omit<PageRequest, 'limit'>> {
  const after = query['page[after]'];
  const before = query['page[before]'];
  if (after !== undefined && before !== undefined) {
    throw badRequest('Give page[after] or page[before], not both', '/querystring');
  }
  const cursor = after ?? before;
  if (cursor === undefined) return {};
  const position = cursorToPosition(cursor) ?? (await positionOf(powers, conversation, cursor));
  if (position === undefined) {
    const expected = 'Expected a cursor of a page, or the id of a message of this conversation';
    throw badRequest(expected, '/querystring');
  }
  return after === undefined ? { before: position } : { after: position };
}

async function positionOf(
  powers: ReaderPowers,
  conversation: ConversationId,
  text: string,
): Promise<Position | undefined> {
  const id = textToId<MessageId>(text);
  const view = id === undefined ? undefined : await powers.views.message(id);
  return view?.conversation === conversation ? view.position : undefined;
}
