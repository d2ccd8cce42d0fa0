/** Opens the store that the environment names, for one command. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseEnv } from 'node:util';
import { type AppId, isId } from '../../libs/base/ids.ts';
import { isLetheError, LetheError } from '../../libs/base/lethe-error.ts';
import { type Configuration, readConfiguration } from '../../libs/configuration/configuration.ts';
import type { App } from '../../libs/vault/keys/app-registry.ts';
import { type Backends, type OpenStore, openBackends } from '../../libs/wiring/open-backends.ts';
import { readNamedFile } from './named-file.ts';
import { CommandEnd, exitCodes } from './terminal.ts';

const WAIT_MS = 2_000;

/**
 * Opens, for a service. While an engine cannot be reached, or the store is not made yet, it says so
 * and tries again: whoever starts all of them at once expects that. Other failures are thrown.
 */
export async function openPatiently<Opened>(open: () => Promise<Opened>): Promise<Opened> {
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!isLetheError(error) || !error.retryable) throw error;
      process.stderr.write(`lethe: ${error.code}: ${error.message}; waiting for it\n`);
      await sleep(WAIT_MS);
    }
  }
}

/** Opens a store that is there: most commands make none. */
function openThere(configuration: Configuration): Promise<Backends> {
  return openBackends(configuration, { mustExist: true });
}

/** Runs work on the opened store and closes it; without `open`, on one that is there. */
export async function withStore<Result>(
  work: (store: OpenStore) => Promise<Result>,
  open: (configuration: Configuration) => Promise<Backends> = openThere,
): Promise<Result> {
  const configuration = readConfiguration(process.env);
  const backends = await open(configuration);
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

/** The configuration that a file of variables says. Throws INPUT_INVALID, CONFIGURATION_INVALID. */
export function readEnvironment(file: string): Configuration {
  const variables = Object.entries(parseEnv(readNamedFile(file, 'variables'))).filter(([name]) =>
    name.startsWith('LETHE_'),
  );
  return readConfiguration(Object.fromEntries(variables));
}
