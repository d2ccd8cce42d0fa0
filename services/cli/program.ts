/** Commands, options and exit codes of the program. */
import { Command, CommanderError } from 'commander';
import { openBackends } from '../../libs/backends/open-backends.ts';
import { isLetheError, LetheError } from '../../libs/base/lethe-error.ts';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { startTracing } from '../../libs/engines/tracing.ts';
import { rebuildViews } from '../../libs/projection/project.ts';
import { addAppCommands } from './app-commands.ts';
import { addAttackCommand } from './attack-command.ts';
import { addCopyCommand } from './copy-command.ts';
import { runDoctor } from './doctor.ts';
import { addEpochCommands } from './epoch-commands.ts';
import { addEraseCommands } from './erase-commands.ts';
import { addForgetCommands } from './forget-commands.ts';
import { ingestFiles } from './ingest-command.ts';
import { addMigrateCommand } from './migrate-command.ts';
import { findApp, openPatiently, withStore } from './open-store.ts';
import { addReadCommands } from './read-commands.ts';
import { firstStart, type RunningServer, startProjector, startServer } from './serve.ts';
import { type ServiceName, serviceNames } from './serve-parts.ts';
import { createProgress, exitCodes, printResult, reportError } from './terminal.ts';
import { reclaimDue } from './upkeep.ts';
import { addVerifyCommand } from './verify-command.ts';

/** Runs the program with the arguments of the process; sets its exit code. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const program = new Command('lethe')
    .description('A self-hosted conversation store that can forget')
    .version('0.1.0')
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`lethe: ${text}`) });
  addAppCommands(program);
  addIngest(program);
  addReadCommands(program);
  addEraseCommands(program);
  addForgetCommands(program);
  addEpochCommands(program);
  addVerifyCommand(program);
  addAttackCommand(program);
  addUpkeep(program);
  addMigrateCommand(program);
  addCopyCommand(program);
  addServe(program);
  const isJson = argv.includes('--json');
  // A reader that has seen enough (head, less) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? exitCodes.done : exitCodes.failed);
  });
  const endTracing = await startTracing(process.env);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    } else {
      process.exitCode = reportError(error, isJson);
    }
  } finally {
    await endTracing();
  }
}

function addServe(program: Command): void {
  program
    .command('serve')
    .description('serve all services in one process on one port, or only those that are named')
    .argument('[services...]', `some of ${serviceNames.join(', ')}`, readService, [])
    .option('--json', 'print JSON')
    .action(async (named: ServiceName[], options) => {
      if (named.join() === 'projector') {
        const configuration = readConfiguration(process.env);
        const server = await openPatiently(() => startProjector(configuration));
        const listening = { listening: server.address, services: named };
        const sentence = `projector: listening on ${server.address}`;
        return untilEnd(server, () => printResult(options.json, listening, [sentence]));
      }
      await withStore(
        async (store) => {
          const names = named.length === 0 ? serviceNames : named;
          // Apart, the first app is made by hand, or by whoever takes messages in.
          const made = names.includes('ingest') ? await firstStart(store) : undefined;
          const server = await startServer(store, names);
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
        },
        (configuration) => openPatiently(() => openBackends(configuration)),
      );
    });
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
    const why = isLetheError(failure) ? `${failure.code}: ${failure.message}` : failure.name;
    const text = `the projector failed (${why}); the server stopped`;
    throw new LetheError('VIEWS_UNREACHABLE', text, { cause: failure });
  }
  await server.stop();
}

function addUpkeep(program: Command): void {
  addReclaim(program);
  program
    .command('rebuild')
    .description('build the views anew from the log, beside those that serve, and switch')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async ({ backends }) => {
        const progress = createProgress(options.json);
        const started = performance.now();
        const events = await rebuildViews(backends.projector(), (done, total) =>
          progress.show(`${done} of ${total} events`),
        );
        progress.clear();
        const seconds = Math.round(performance.now() - started) / 1_000;
        printResult(options.json, { events, seconds }, [`${events} events in ${seconds} s`]);
      }),
    );
  program
    .command('doctor')
    .description('check the store against itself')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async (store) => {
        const checks = await runDoctor(store, options.json === true);
        const passed = checks.every((check) => check.passed);
        const lines = checks.map((one) => {
          return `${one.passed ? 'ok    ' : 'FAILED'}  ${one.name}: ${one.detail}`;
        });
        printResult(options.json, { passed, checks }, lines);
        if (!passed) process.exitCode = exitCodes.failed;
      }),
    );
}

function addReclaim(program: Command): void {
  program
    .command('reclaim')
    .description('remove from log and views what nobody can open any more, once its day has come')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async (store) => {
        const progress = createProgress(options.json);
        const started = performance.now();
        const done = await reclaimDue(store, (text) => progress.show(text));
        progress.clear();
        const seconds = Math.round(performance.now() - started) / 1_000;
        const { losses, records, waiting, nextDueMs } = done;
        const nextDue = nextDueMs === null ? null : new Date(nextDueMs).toISOString();
        printResult(options.json, { losses, records, waiting, nextDue, seconds }, [
          losses === 0
            ? 'nothing is due'
            : `${records} events of ${losses} losses removed in ${seconds} s`,
          `${waiting} losses wait${nextDue === null ? '' : `, the first until ${nextDue}`}`,
        ]);
      }),
    );
}

function addIngest(program: Command): void {
  program
    .command('ingest')
    .description('take in events: CloudEvents JSON, one a line or an array a line, plain or gzip')
    .argument('[files...]', 'files; none or - is standard input')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--no-wait', 'return when everything is durable, before the views have it')
    .option('--report <file>', 'where rejected lines are listed', 'lethe-rejected.jsonl')
    .option('--json', 'print JSON')
    .action(async (files: string[], options) => {
      await withStore(async (store) => {
        const app = await findApp(store.backends, options.app);
        const { wait, report } = options;
        const settings = { app: app.id, wait, report, json: options.json === true };
        const summary = await ingestFiles(store, files.length === 0 ? ['-'] : files, settings);
        const { accepted, duplicate, erased, rejected, seconds } = summary;
        printResult(settings.json, summary, [
          `${accepted} accepted, ${duplicate} duplicate, ${erased} erased, ${rejected} rejected`,
          `in ${seconds} s`,
          ...(summary.report === undefined ? [] : [`rejected lines: ${summary.report}`]),
        ]);
        if (rejected > 0) process.exitCode = exitCodes.failed;
      });
    });
}
