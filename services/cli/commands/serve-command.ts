/** `lethe serve`: services in this process, until a signal ends them. */
import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';
import { isLetheError, LetheError } from '../../../libs/base/lethe-error.ts';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import { openBackends } from '../../../libs/wiring/open-backends.ts';
import { firstStart, type RunningServer, startProjector, startServer } from '../../server/serve.ts';
import { type ServiceName, serviceNames } from '../../server/serve-parts.ts';
import { openPatiently, withStore } from '../open-store.ts';
import { printResult } from '../terminal.ts';

const VARIABLES_OF_KEYS = [
  'LETHE_VAULT',
  'LETHE_KMS',
  'LETHE_KMS_PASSPHRASE',
  'LETHE_SIGNING_KEYS',
  'AWS_ACCESS_KEY_ID',
  'AWS_SECRET_ACCESS_KEY',
];

/** Adds the command. */
export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('serve all services in one process on one port, or only those that are named')
    .argument('[services...]', `some of ${serviceNames.join(', ')}`, readService, [])
    .option('--json', 'print JSON')
    .action(async (named: ServiceName[], options) => {
      overwriteFreedMemory();
      if (named.join() === 'projector') {
        warnOfKeys();
        const configuration = readConfiguration(process.env);
        const server = await openPatiently(() => startProjector(configuration));
        const listening = { listening: server.address, services: named };
        const sentence = `projector: listening on ${server.address}`;
        return untilEnd(server, () => printResult(options.json, listening, [sentence]));
      }
      const names = named.length === 0 ? serviceNames : named;
      // Apart, a store and its first app are made by hand, or by whoever takes messages in.
      const makes = names.includes('ingest');
      await withStore(
        async (store) => {
          const server = await startServer(store, names);
          // When it listens: a secret that is shown once must not be made and lost before.
          const made = makes
            ? await firstStart(store).catch(async (error) => {
                await server.stop();
                throw error;
              })
            : undefined;
          const first = made && {
            app: { id: made.app.id, name: made.app.name },
            key: { id: made.key.id, secret: made.key.secret },
          };
          const listening = { listening: server.address, services: names, ...first };
          const sentences = [
            ...(first === undefined
              ? []
              : [
                  `first start: app ${first.app.name}, id ${first.app.id}`,
                  `key id  ${first.key.id}`,
                  `secret  ${first.key.secret}   (shown this once)`,
                ]),
            `${named.length === 0 ? '' : `${names.join(', ')}: `}listening on ${server.address}`,
          ];
          await untilEnd(server, () => printResult(options.json, listening, sentences));
          printResult(options.json, { stopped: true }, ['stopped']);
        },
        (configuration) =>
          openPatiently(() => openBackends(configuration, makes ? {} : { mustExist: true })),
      );
    });
}

/**
 * Words that were unsealed lie in memory until it is used again. What the collector frees is
 * zeroed, for about 5 % of CPU: most copies are gone then.
 */
function overwriteFreedMemory(): void {
  setFlagsFromString('--clear-free-memory');
}

/** The projector alone needs nothing that opens the vault: whoever gives it that hears so. */
function warnOfKeys(): void {
  const found = VARIABLES_OF_KEYS.filter((name) => process.env[name]);
  if (found.length === 0) return;
  const text = `the projector needs no ${found.join(', ')}: unset them for this service`;
  process.stderr.write(`lethe: ${text}\n`);
}

/** Collects the services to run. Throws INPUT_INVALID. */
function readService(text: string, before: ServiceName[]): ServiceName[] {
  const name = serviceNames.find((one) => one === text);
  if (name !== undefined) return [...new Set([...before, name])];
  throw new LetheError('INPUT_INVALID', `serve: expected some of ${serviceNames.join(', ')}`);
}

/**
 * Waits for SIGTERM or SIGINT (or a failed part), then drains. Both are heard before anybody is
 * told that it listens: who reads that may send one at once.
 */
async function untilEnd(server: RunningServer, announce: () => void): Promise<void> {
  const asked = new Promise<undefined>((resolve) => {
    process.once('SIGTERM', () => resolve(undefined));
    process.once('SIGINT', () => resolve(undefined));
  });
  announce();
  const failure = await Promise.race([server.failed, asked]);
  if (failure !== undefined) {
    await server.stop().catch(() => undefined);
    const { part, error } = failure;
    const why = isLetheError(error) ? `${error.code}: ${error.message}` : error.name;
    const code = isLetheError(error) ? error.code : 'VIEWS_UNREACHABLE';
    throw new LetheError(code, `${part} failed (${why}); the server stopped`, { cause: error });
  }
  await server.stop();
}
