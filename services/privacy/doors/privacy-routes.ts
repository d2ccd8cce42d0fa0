/** The DELETE half of the REST interface: what is answered 200 here is gone from this vault. */

import type { AppId, MessageId } from '../../../libs/base/ids.ts';
import { textToId } from '../../../libs/base/ids.ts';
import { answers as answered } from '../../../libs/http/answers.ts';
import { HttpError, notFound } from '../../../libs/http/http-error.ts';
import type { HttpServer } from '../../../libs/http/http-server.ts';
import {
  AppParameters,
  ConversationParameters,
  conversationIdOfPath,
  MessageParameters,
  subjectOfPath,
  UserParameters,
} from '../../../libs/http/route-parameters.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { Privacy, PrivacyOutcome } from './privacy.ts';

/** Adds the routes. */
export function addPrivacyRoutes(
  server: HttpServer,
  privacy: Privacy,
  powers: PrivacyPowers,
): void {
  addUserRoutes(server, privacy, powers);
  addConversationRoutes(server, privacy);
  server.delete(
    '/v2/apps/:appId',
    {
      config: { scopes: ['account'] },
      schema: {
        summary: 'Erase an app with everything in it',
        response: { 200: answered.erased },
        tags: ['apps'],
        params: AppParameters,
      },
    },
    async (request, reply) => {
      const outcome = await privacy.eraseApp(request.params.appId as AppId);
      return { ...answer(outcome), ...proofOf(reply, outcome) };
    },
  );
}

function answer(outcome: PrivacyOutcome, missing: () => HttpError = notFound.app) {
  switch (outcome.status) {
    case 'done':
      return {};
    case 'refused':
      throw new HttpError(400, 'refused', outcome.reason);
    default:
      throw missing();
  }
}

/** Where headers of an answer are put. */
interface AnswerHeaders {
  header(name: string, value: string): unknown;
}

/**
 * Hands out what proves an erasure to be about this person or app: the id of its certificate and
 * the salt, which is kept nowhere. In headers too, for clients that do not look at bodies. A salt
 * of null: another process has certified it.
 */
function proofOf(reply: AnswerHeaders, outcome: PrivacyOutcome) {
  if (outcome.status !== 'done' || outcome.certificate === undefined) return {};
  const { erasure, certificate } = outcome;
  reply.header('lethe-certificate', erasure);
  if (certificate.salt !== null) reply.header('lethe-certificate-salt', certificate.salt);
  return { certificate: { id: erasure, salt: certificate.salt } };
}

function addUserRoutes(server: HttpServer, privacy: Privacy, powers: PrivacyPowers): void {
  const tags = ['users'];
  server.delete(
    '/v2/apps/:appId/users/:userId',
    {
      schema: {
        summary: 'Erase a person: profile, history, identities',
        response: { 200: answered.erased },
        tags,
        params: UserParameters,
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const subject = await subjectOfPath(powers.directory, app, request.params.userId);
      const outcome = await privacy.eraseSubject(app, subject);
      return { ...answer(outcome, notFound.userErased), ...proofOf(reply, outcome) };
    },
  );
  server.delete(
    '/v2/apps/:appId/users/:userId/personalinformation',
    {
      schema: {
        summary: 'Clear names, e-mail, picture and metadata; the history stays',
        response: { 200: answered.nothing },
        tags,
        params: UserParameters,
      },
    },
    async (request) => {
      const app = request.params.appId as AppId;
      const subject = await subjectOfPath(powers.directory, app, request.params.userId);
      return answer(await privacy.clearProfile(app, subject), notFound.userErased);
    },
  );
}

function addConversationRoutes(server: HttpServer, privacy: Privacy): void {
  const tags = ['conversations'];
  server.delete(
    '/v2/apps/:appId/conversations/:conversationId',
    {
      schema: {
        summary: 'Delete a conversation with its messages; not a default one',
        response: { 200: answered.nothing },
        tags,
        params: ConversationParameters,
      },
    },
    async ({ params }) => {
      const id = conversationIdOfPath(params.conversationId);
      const outcome = await privacy.deleteConversation(params.appId as AppId, id);
      return answer(outcome, notFound.conversation);
    },
  );
  server.delete(
    '/v2/apps/:appId/conversations/:conversationId/messages',
    {
      schema: {
        summary: 'Forget all messages; the conversation can be written to again',
        response: { 200: answered.nothing },
        tags: ['messages'],
        params: ConversationParameters,
      },
    },
    async ({ params }) => {
      const id = conversationIdOfPath(params.conversationId);
      const outcome = await privacy.clearConversation(params.appId as AppId, id);
      return answer(outcome, notFound.conversation);
    },
  );
  server.delete(
    '/v2/apps/:appId/conversations/:conversationId/messages/:messageId',
    {
      schema: {
        summary: 'Forget one message with its edits and reactions',
        response: { 200: answered.nothing },
        tags: ['messages'],
        params: MessageParameters,
      },
    },
    async ({ params }) => {
      const id = conversationIdOfPath(params.conversationId);
      const message = textToId<MessageId>(params.messageId);
      if (message === undefined) throw notFound.message();
      const outcome = await privacy.forgetMessage(params.appId as AppId, id, message);
      return answer(outcome, notFound.message);
    },
  );
}
