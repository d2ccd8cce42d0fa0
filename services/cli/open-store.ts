/** Opens the store that the environment names, for one command. */

import { type Configuration, readConfiguration } from '../../libs/backends/configuration.ts';
import { type Backends, openBackends } from '../../libs/backends/open-backends.ts';
import { type AppId, isId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import type { App } from '../../libs/vault/app-registry.ts';
import { CommandEnd, exitCodes } from './terminal.ts';

export interface OpenStore {
  readonly configuration: Configuration;
  readonly backends: Backends;
}

/** Runs work on the opened store and closes it. */
export async function withStore<Result>(
  work: (store: OpenStore) => Promise<Result>,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Result> {
  const configuration = readConfiguration(env);
  const backends = await openBackends(configuration);
  try {
    return await work({ configuration, backends });
  } finally {
    await backends.close();
  }
}

/** The app that `--app` names. Ends the command: not found, or erased (by its id). */
export async function findApp(backends: Backends, name: string | undefined): Promise<App> {
  if (name === undefined) throw new LetheError('INPUT_INVALID', 'name the app: --app NAME or ID');
  const { apps } = backends.administration();
  const app = await apps.find(name);
  if (app !== undefined) return app;
  if (isId(name) && (await apps.wasErased(name as AppId))) {
    throw new CommandEnd(exitCodes.erased, 'this app was erased');
  }
  throw new CommandEnd(exitCodes.notFound, 'there is no such app: see lethe apps list');
}
