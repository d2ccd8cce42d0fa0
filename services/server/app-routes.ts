/** Apps over the REST interface: the account scope sees all, others see their own. */
import { Type } from 'typebox';
import type { EventId, OwnerId, ThingId } from '../../libs/base/ids.ts';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import { answers as answered } from '../../libs/http/answers.ts';
import type { HandedAnswers } from '../../libs/http/handed-answers.ts';
import { HttpError, notFound } from '../../libs/http/http-error.ts';
import type { HttpServer } from '../../libs/http/http-server.ts';
import { AppParameters } from '../../libs/http/route-parameters.ts';
import type { KeyedHeader } from '../../libs/keyring/event-sealer.ts';
import { allOpenStill } from '../../libs/keyring/open-events.ts';
import { sealingCipher } from '../../libs/sealing/ciphers.ts';
import { retentionClasses } from '../../libs/sealing/tree-path.ts';
import type { App } from '../../libs/vault/keys/app-registry.ts';
import type { AdministrationPowers, ReaderPowers } from '../../libs/wiring/powers.ts';
import { createApp } from '../operations/create-app.ts';

const SpellingRules = Type.Record(Type.String(), Type.String(), {
  description: 'How identities are spelled, by channel: text, email, phone, or phone:DE. For good',
});

/** Adds the routes. An app's name goes with it: its answers are taken back as words are. */
export function addAppRoutes(
  server: HttpServer,
  powers: AdministrationPowers,
  { answers, reader }: { answers: HandedAnswers; reader: ReaderPowers },
): void {
  const tags = ['apps'];
  async function shown(request: object, app: App) {
    // One whose rings are damaged is shown all the same.
    const isWhole = await allOpenStill(reader.keyring, [nameOf(app)]).catch(() => false);
    if (isWhole) answers.repeats(request, reader, [nameOf(app)]);
    const { id, name, createdAt, spellingRules } = app;
    const made = new Date(createdAt).toISOString();
    return { id, displayName: name, createdAt: made, settings: { spellingRules } };
  }
  server.get(
    '/v2/apps',
    {
      config: { scopes: ['account'] },
      schema: { summary: 'All apps', tags, response: { 200: answered.apps } },
    },
    async (request) => {
      const apps = await powers.apps.list();
      return { apps: await Promise.all(apps.map((app) => shown(request, app))) };
    },
  );
  server.post(
    '/v2/apps',
    {
      config: { scopes: ['account'] },
      schema: {
        summary: 'Create an app',
        tags,
        body: Type.Object({
          displayName: Type.String({ maxLength: 63 }),
          settings: Type.Optional(Type.Object({ spellingRules: Type.Optional(SpellingRules) })),
        }),
        response: { 201: answered.app },
      },
    },
    async (request, reply) => {
      try {
        const { displayName: name, settings } = request.body;
        // Nothing else of it: what is not named in the document sets nothing.
        const { spellingRules = {} } = settings ?? {};
        const app = await createApp(powers, { name, spellingRules });
        return reply.status(201).send({ app: await shown(request, app) });
      } catch (error) {
        if (!isLetheError(error, 'NAME_TAKEN')) throw error;
        throw new HttpError(409, 'conflict', error.message, { pointer: '/displayName' });
      }
    },
  );
  server.get(
    '/v2/apps/:appId',
    {
      config: { scopes: ['app', 'account'] },
      schema: { summary: 'One app', tags, params: AppParameters, response: { 200: answered.app } },
    },
    async (request) => {
      const app = await powers.apps.find(request.params.appId);
      if (app === undefined) throw notFound.app();
      return { app: await shown(request, app) };
    },
  );
}

/** The name as a fact about the app that nobody forgets by day. */
function nameOf({ id, factsPlace, createdAt }: App): KeyedHeader {
  const thing = id as string as ThingId & EventId;
  const of = { app: id, owner: id as string as OwnerId, place: factsPlace, thing, eventId: thing };
  const { id: cipher } = sealingCipher;
  return { ...of, retentionClass: retentionClasses.ageless, occurredAt: createdAt, cipher };
}
