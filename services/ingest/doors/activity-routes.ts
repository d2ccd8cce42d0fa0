/** Activity events of the REST interface: who has read a conversation, who is typing. */
import { Type } from 'typebox';
import type { AppId, MessageId } from '../../../libs/base/ids.ts';
import { notFound } from '../../../libs/http/http-error.ts';
import type { HttpServer } from '../../../libs/http/http-server.ts';
import { sendPositions } from '../../../libs/http/positions.ts';
import {
  ConversationParameters,
  conversationIdOfPath,
  subjectOfBody,
} from '../../../libs/http/route-parameters.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import type { Ingest } from '../ingest.ts';
import { throwRefusal } from './accept-one.ts';
import { assertMember } from './assert-member.ts';

const Activity = Type.Object({
  author: Type.Object({
    type: Type.Enum(['user', 'business']),
    userId: Type.Optional(Type.String({ maxLength: 512 })),
    userExternalId: Type.Optional(Type.String({ maxLength: 512 })),
  }),
  type: Type.Enum(['conversation:read', 'typing:start', 'typing:stop']),
});

/** Adds the route. */
export function addActivityRoutes(server: HttpServer, ingest: Ingest, powers: IngestPowers): void {
  server.post(
    '/v2/apps/:appId/conversations/:conversationId/activity',
    {
      schema: {
        summary:
          'A user has read the conversation; typing, and what the business reads, is not kept',
        tags: ['activities'],
        params: ConversationParameters,
        body: Activity,
        response: { 200: Type.Object({}) },
      },
    },
    async (request, reply) => {
      const app = request.params.appId as AppId;
      const conversation = conversationIdOfPath(request.params.conversationId);
      const [entry] = await powers.directory.conversations(app, [conversation]);
      if (typeof entry !== 'object') throw notFound.conversation();
      const { author, type } = request.body;
      if (author.type === 'business') return {};
      const subject = await subjectOfBody(powers.directory, app, author, '/author');
      if (entry.value.kind === 'sdkGroup') {
        await assertMember(powers, app, { conversation, subject });
      }
      const message = (await powers.views.conversation(conversation))?.lastMessage;
      if (type !== 'conversation:read' || !message) return {};
      const read = { kind: 'read', conversation, subject, message: message as MessageId } as const;
      const [outcome] = await ingest.accept(app, [read]);
      // The last message may have been forgotten: then there is nothing to remember of its readers.
      if (outcome!.status === 'erased') return {};
      await sendPositions(reply, powers.cursors, app, throwRefusal(outcome!).positions);
      return {};
    },
  );
}
