/** Conversations, participants and messages of the REST interface: create, join, leave, post. */
import { type TSchema, Type } from 'typebox';
import type { AppId, ConversationId, MessageId, SubjectId } from '../../../libs/base/ids.ts';
import { textToId } from '../../../libs/base/ids.ts';
import { readContent } from '../../../libs/conversation/cloud-event.ts';
import {
  type Description,
  foldDescription,
  isTooMuchMetadata,
  METADATA_JSON_MAX,
  METADATA_KEYS_MAX,
  mergeMetadata,
  metadataToJson,
} from '../../../libs/conversation/field-fold.ts';
import { readFields } from '../../../libs/conversation/field-reader.ts';
import type { LogPosition } from '../../../libs/event-log/event-log.ts';
import { answers as answered } from '../../../libs/http/answers.ts';
import type { HandedAnswers } from '../../../libs/http/handed-answers.ts';
import { badRequest, notFound } from '../../../libs/http/http-error.ts';
import type { HttpServer } from '../../../libs/http/http-server.ts';
import { sendPositions } from '../../../libs/http/positions.ts';
import {
  AppParameters,
  ConversationParameters,
  conversationIdOfPath,
  subjectOfBody,
} from '../../../libs/http/route-parameters.ts';
import { readDescriptions } from '../../../libs/people/descriptions.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import type { Ingest } from '../ingest.ts';
import type { PostedMessage } from '../plan/ingest-item.ts';
import { acceptOne, acceptRepeated, type Repeating } from './accept-one.ts';
import { assertMember } from './assert-member.ts';
import { seeOwnWrites } from './see-own-writes.ts';

const Participant = Type.Object({
  userId: Type.Optional(Type.String()),
  userExternalId: Type.Optional(Type.String()),
});
const ConversationBody = Type.Object({
  type: Type.Enum(['personal', 'sdkGroup']),
  participants: Type.Optional(Type.Array(Participant, { maxItems: 100 })),
  displayName: Type.Optional(Type.Union([Type.String({ maxLength: 256 }), Type.Null()])),
  metadata: Type.Optional(Type.Object({})),
});
const MessageBody = Type.Object({
  author: Type.Object({
    type: Type.Enum(['user', 'business']),
    userId: Type.Optional(Type.String({ maxLength: 512 })),
    userExternalId: Type.Optional(Type.String({ maxLength: 512 })),
    displayName: Type.Optional(Type.String({ maxLength: 256 })),
    subtypes: Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { maxItems: 16 })),
  }),
  content: Type.Object({ type: Type.String({ maxLength: 32 }) }),
  quotedMessageId: Type.Optional(Type.String()),
  metadata: Type.Optional(Type.Object({})),
});

interface Deps {
  readonly ingest: Ingest;
  readonly powers: IngestPowers;
}

/** Adds the routes. */
export function addConversationRoutes(
  server: HttpServer,
  ingest: Ingest,
  powers: IngestPowers,
  answers: HandedAnswers,
): void {
  const deps = { ingest, powers };
  server.post(
    '/v2/apps/:appId/conversations',
    {
      schema: {
        summary: 'Create a conversation; a personal one belongs to its one participant',
        response: { 201: answered.conversation },
        tags: ['conversations'],
        params: AppParameters,
        body: ConversationBody,
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const from = { request, answers, powers };
      const { conversation, positions } = await createConversation(from, deps, app, request.body);
      await sendPositions(reply, powers.cursors, app, positions);
      return reply.status(201).send({ conversation });
    },
  );
  addDescriptionRoute(server, deps, answers);
  addParticipantRoutes(server, deps);
  addMessageRoutes(server, deps, answers);
}

function addDescriptionRoute(
  server: HttpServer,
  { powers, ingest }: Deps,
  answers: HandedAnswers,
): void {
  server.patch(
    '/v2/apps/:appId/conversations/:conversationId',
    {
      schema: {
        summary: 'Change a conversation’s title and keys of its metadata; null removes one',
        response: { 200: answered.conversation },
        tags: ['conversations'],
        params: ConversationParameters,
        body: Type.Pick(ConversationBody, ['displayName', 'metadata']),
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const id = conversationIdOfPath(request.params.conversationId);
      const given = readDescription(request.body);
      const [entry] = await powers.directory.conversations(app, [id]);
      if (typeof entry !== 'object') throw notFound.conversation();
      await seeOwnWrites(powers);
      const [stored] = await readDescriptions(answers.powersFor(request, powers), app, [id]);
      const described = mergeDescription(stored!, given);
      if (given.displayName !== undefined || given.metadata !== '{}') {
        const command = { kind: 'describe', conversation: id, ...given } as const;
        const from = { request, answers, powers };
        const { positions } = await acceptRepeated(from, ingest, app, command);
        await sendPositions(reply, powers.cursors, app, positions);
      }
      const { kind, isDefault, createdAt } = entry.value;
      const shown = { id, type: kind, isDefault, createdAt: new Date(createdAt).toISOString() };
      return { conversation: { ...shown, ...shownDescription(described) } };
    },
  );
}

const TOO_MUCH =
  `Expected at most ${METADATA_JSON_MAX} characters of JSON, ` +
  `and ${METADATA_KEYS_MAX} keys ever, with what is there already`;

/** What a body gives of a description. */
function readDescription(body: { displayName?: string | null; metadata?: object }) {
  return {
    displayName: readText(body.displayName, '/displayName'),
    metadata: readMetadata(body.metadata) ?? '{}',
  };
}

function mergeDescription(
  stored: Description,
  { displayName, metadata }: ReturnType<typeof readDescription>,
): Description {
  const merged = mergeMetadata(stored.metadata, metadata);
  if (isTooMuchMetadata(merged)) throw badRequest(TOO_MUCH, '/metadata');
  return {
    displayName: displayName === undefined ? stored.displayName : displayName,
    metadata: merged,
  };
}

function shownDescription({ displayName, metadata }: Description) {
  return {
    ...(displayName !== null && { displayName }),
    ...(metadata.size > 0 && { metadata: metadataToJson(metadata) }),
  };
}

function addParticipantRoutes(server: HttpServer, deps: Deps): void {
  const schema = { tags: ['participants'], params: ConversationParameters, body: Participant };
  const add = (
    action: 'join' | 'leave',
    kind: 'joined' | 'left',
    { summary, answer }: { readonly summary: string; readonly answer: TSchema },
  ) =>
    server.post(
      `/v2/apps/:appId/conversations/:conversationId/${action}`,
      { schema: { ...schema, summary, response: { 200: answer } } },
      async (request, reply) => {
        const app = request.params.appId as AppId;
        const conversation = conversationIdOfPath(request.params.conversationId);
        const subject = await subjectOfBody(deps.powers.directory, app, request.body);
        if (kind === 'left') await assertMember(deps.powers, app, { conversation, subject });
        const command = { kind, conversation, subject } as const;
        const positions = await acceptOne(deps.ingest, app, command);
        await sendPositions(reply, deps.powers.cursors, app, positions);
        if (kind === 'left') return {};
        const [entry] = await deps.powers.directory.subjects(app, [subject]);
        if (entry === undefined) throw notFound.userErased();
        const { alias } = entry.value;
        return { participant: { id: alias, userId: alias } };
      },
    );
  add('join', 'joined', { summary: 'A user joins a group', answer: answered.participant });
  add('leave', 'left', { summary: 'A user leaves a group', answer: answered.nothing });
}

function addMessageRoutes(server: HttpServer, deps: Deps, answers: HandedAnswers): void {
  server.post(
    '/v2/apps/:appId/conversations/:conversationId/messages',
    {
      schema: {
        summary: 'Post a message; answers once it is durable',
        response: { 201: answered.posted },
        tags: ['messages'],
        params: ConversationParameters,
        body: MessageBody,
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const conversation = conversationIdOfPath(request.params.conversationId);
      const command = await readMessageBody(deps, app, { conversation, body: request.body });
      const from = { request, answers, powers: deps.powers };
      const accepted = await acceptRepeated(from, deps.ingest, app, command);
      await sendPositions(reply, deps.powers.cursors, app, accepted.positions);
      const message = {
        id: accepted.eventId,
        received: new Date(command.occurredAtMs).toISOString(),
        author: request.body.author,
        content: request.body.content,
        ...(request.body.metadata && { metadata: request.body.metadata }),
      };
      return reply.status(201).send({ messages: [message] });
    },
  );
}

async function createConversation(
  from: Repeating,
  deps: Deps,
  appId: AppId,
  body: {
    type: string;
    participants?: { userId?: string; userExternalId?: string }[];
    displayName?: string | null;
    metadata?: object;
  },
) {
  const { powers, ingest } = deps;
  const app = (await powers.apps.find(appId))!;
  const kind = body.type === 'personal' ? 'personal' : 'sdkGroup';
  const people: SubjectId[] = [];
  for (const one of body.participants ?? []) {
    people.push(await subjectOfBody(powers.directory, appId, one));
  }
  if (kind === 'personal' && people.length !== 1) {
    throw badRequest('A personal conversation has one participant', '/participants');
  }
  const given = readDescription({ displayName: null, ...body });
  const described = mergeDescription(foldDescription([]), given);
  const person = kind === 'personal' ? people[0]! : null;
  const wanted = { kind, person, name: null, isDefault: false } as const;
  const nowMs = powers.clock.nowMs();
  const [id] = await powers.directoryWriter.addConversations(app, [wanted], nowMs);
  if (id === undefined) throw notFound.userErased();
  const positions: LogPosition[] = [];
  const command = { kind: 'describe', conversation: id, ...given } as const;
  positions.push(...(await acceptRepeated(from, ingest, appId, command)).positions);
  for (const subject of kind === 'personal' ? [] : people) {
    const command = { kind: 'joined', conversation: id, subject } as const;
    positions.push(...(await acceptOne(ingest, appId, command)));
  }
  const conversation = {
    id,
    type: kind,
    isDefault: false,
    ...shownDescription(described),
    createdAt: new Date(nowMs).toISOString(),
  };
  return { conversation, positions };
}

function readText<Given extends string | null | undefined>(text: Given, pointer: string): Given {
  if (typeof text !== 'string') return text;
  if (text.isWellFormed() && !text.includes('\0')) return text;
  throw badRequest('Expected well-formed Unicode text without NUL', pointer);
}

function readMetadata(metadata: object | undefined): string | null {
  if (metadata === undefined) return null;
  const read = readFields({ metadata }, (root) => root.member('metadata').json(METADATA_JSON_MAX));
  if ('problem' in read) {
    throw badRequest(`Expected ${read.problem.expected}`, read.problem.pointer);
  }
  return read.value;
}

async function readMessageBody(
  deps: Deps,
  app: AppId,
  given: {
    conversation: ConversationId;
    body: {
      author: {
        type: string;
        userId?: string;
        userExternalId?: string;
        displayName?: string;
        subtypes?: string[];
      };
      content: object;
      quotedMessageId?: string;
      metadata?: object;
    };
  },
): Promise<PostedMessage> {
  const { author, content, quotedMessageId, metadata } = given.body;
  const read = readFields({ content }, (root) => readContent(root.member('content')));
  if ('problem' in read) {
    throw badRequest(`Expected ${read.problem.expected}`, read.problem.pointer);
  }
  const quoted = quotedMessageId === undefined ? null : textToId<MessageId>(quotedMessageId);
  if (quoted === undefined) throw badRequest('Expected a message id', '/quotedMessageId');
  return {
    kind: 'post',
    occurredAtMs: deps.powers.clock.nowMs(),
    conversation: given.conversation,
    author:
      author.type === 'user'
        ? {
            type: 'user',
            subject: await subjectOfBody(deps.powers.directory, app, author, '/author'),
          }
        : {
            type: 'business',
            userId: readText(author.userId ?? null, '/author/userId'),
            displayName: readText(author.displayName ?? null, '/author/displayName'),
            subtypes: author.subtypes ?? [],
          },
    content: read.value,
    quotedMessage: quoted,
    metadata: readMetadata(metadata),
  };
}
