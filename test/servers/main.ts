/**
 * The engines of Lethe on this machine, without Docker: `npm run -s servers -- start`, `stop`,
 * `status`, `env`. For development and tests: one machine, loopback only, throwaway passwords,
 * nothing kept.
 */
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { cacheFolder } from './downloads.ts';
import { isRunning } from './server-process.ts';
import { findServers, type ServerSet, startServers, stopServers } from './server-set.ts';

const NODES_MAX = 3;
const folder = process.env.LETHE_SERVERS_FOLDER || join(cacheFolder(), 'run');

interface Options {
  readonly nodes?: number;
  readonly json?: true;
}

function nodesOf(text: string): number {
  const nodes = Number(text);
  if (Number.isInteger(nodes) && nodes >= 1 && nodes <= NODES_MAX) return nodes;
  throw new InvalidArgumentError(`expected 1 to ${NODES_MAX}.`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function report(set: ServerSet | undefined, options: Options): void {
  const servers = (set?.processes ?? []).map((one) => ({
    name: one.name,
    pid: one.pid,
    running: isRunning(one),
    log: one.logFile,
  }));
  if (options.json) {
    print(JSON.stringify({ folder, nodes: set?.nodes ?? 0, servers }));
    return;
  }
  for (const { name, pid, running } of servers) {
    print(`${name.padEnd(14)} ${String(pid).padEnd(8)} ${running ? 'running' : 'ended'}`);
  }
  if (servers.length === 0) print('no servers');
}

const program = new Command('servers')
  .description('Kafka, Cassandra, Redis, an AWS KMS and an S3 server on this machine')
  .configureHelp({ showGlobalOptions: true });

program
  .command('start')
  .description('download what is missing, start all and wait until each is ready')
  .option('--nodes <count>', 'nodes of Kafka and of Cassandra, 1 to 3', nodesOf, 1)
  .option('--json', 'one JSON document')
  .action(async (options: Options) => report(await startServers(folder, options.nodes!), options));

program
  .command('stop')
  .description('end all and remove their data')
  .option('--json', 'one JSON document')
  .action(async (options: Options) => report(await stopServers(folder), options));

program
  .command('status')
  .description('tell which of them run; exits 1 unless all do')
  .option('--json', 'one JSON document')
  .action((options: Options) => {
    const set = findServers(folder);
    report(set, options);
    if (set === undefined || !set.processes.every(isRunning)) process.exitCode = 1;
  });

program
  .command('env')
  .description('print the variables that name them, for eval in a shell')
  .action(() => {
    const set = findServers(folder);
    if (set === undefined) throw new Error('no servers: start them first');
    for (const [name, value] of Object.entries(set.variables)) print(`export ${name}='${value}'`);
  });

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
