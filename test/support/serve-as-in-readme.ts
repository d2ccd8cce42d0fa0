/** The server in a process of its own, with the memory that the README names. */
import { join } from 'node:path';
import { startScript } from './processes.ts';
import { embeddedVariables, type TestStore } from './temporary-store.ts';

const PROGRAM = join(import.meta.dirname, '../../services/cli/main.ts');

/** Closes the store here, and serves its folder; the process ends with the test. */
export async function serveAsInReadme(store: TestStore) {
  await store.ingest.close();
  await store.backends.close();
  const limits = ['--max-semi-space-size=8', '--max-old-space-size=256', PROGRAM, 'serve'];
  const variables = { ...process.env, ...embeddedVariables(store.folder) };
  const serving = startScript(limits[0]!, limits.slice(1), variables, store.folder);
  const [address] = /http:\/\/\S+:\d+/.exec(await serving.printed('listening'))!;
  return { serving, address };
}
