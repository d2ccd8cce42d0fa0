/** Apps over the REST interface: the account scope sees all, others see their own. */
import { Type } from 'typebox';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import { HttpError, notFound } from '../../libs/http/http-error.ts';
import type { HttpServer } from '../../libs/http/http-server.ts';
import { AppParameters } from '../../libs/http/route-parameters.ts';
import type { App } from '../../libs/vault/keys/app-registry.ts';
import type { AdministrationPowers } from '../../libs/wiring/powers.ts';
import { createApp } from '../operations/create-app.ts';

/** Adds the routes. */
export function addAppRoutes(server: HttpServer, powers: AdministrationPowers): void {
  const tags = ['apps'];
  server.get(
    '/v2/apps',
    { config: { scopes: ['account'] }, schema: { summary: 'All apps', tags } },
    async () => ({ apps: (await powers.apps.list()).map(shownApp) }),
  );
  server.post(
    '/v2/apps',
    {
      config: { scopes: ['account'] },
      schema: {
        summary: 'Create an app',
        tags,
        body: Type.Object({ displayName: Type.String({ maxLength: 63 }) }),
      },
    },
    async (request, reply) => {
      try {
        const app = await createApp(powers, { name: request.body.displayName });
        return reply.status(201).send({ app: shownApp(app) });
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
      schema: { summary: 'One app', tags, params: AppParameters },
    },
    async (request) => {
      const app = await powers.apps.find(request.params.appId);
      if (app === undefined) throw notFound.app();
      return { app: shownApp(app) };
    },
  );
}

function shownApp({ id, name, createdAt }: App) {
  return { id, displayName: name, createdAt: new Date(createdAt).toISOString() };
}
