/** Starts the engines for a run of tests, or uses given ones; a server that fails is a failure. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServers, stopServers } from '../servers/server-set.ts';

export async function setup(): Promise<() => Promise<void>> {
  if (process.env.TEST_ENGINES) {
    useEngines(JSON.parse(process.env.TEST_ENGINES));
    return async () => undefined;
  }
  const folder = join(tmpdir(), `lethe-engines-${process.pid}`);
  process.env.TEST_ENGINES_FOLDER = folder;
  useEngines((await startServers(folder, 1)).variables);
  return async () => {
    await stopServers(folder);
  };
}

/** Contract suites ask for TEST_ENGINES, stores of tests for TEST_STORE_ENGINES. */
function useEngines(variables: Readonly<Record<string, string>>): void {
  process.env.TEST_ENGINES = JSON.stringify(variables);
  process.env.TEST_STORE_ENGINES = process.env.TEST_ENGINES;
  for (const [name, value] of Object.entries(variables)) {
    if (name.startsWith('AWS_')) process.env[name] = value;
  }
}
