/** Commands, options and exit codes of the program. */
import { Command, CommanderError } from 'commander';
import { VERSION } from '../../libs/base/version.ts';
import { startTracing } from '../../libs/engines/tracing.ts';
import { addAppCommands } from './commands/app-commands.ts';
import { addAttackCommand } from './commands/attack-command.ts';
import { addCopyCommand } from './commands/copy-command.ts';
import { addEpochCommands } from './commands/epoch-commands.ts';
import { addEraseCommands } from './commands/erase-commands.ts';
import { addForgetCommands } from './commands/forget-commands.ts';
import { addIngestCommand } from './commands/ingest-command.ts';
import { addMigrateCommand } from './commands/migrate-command.ts';
import { addReadCommands } from './commands/read-commands.ts';
import { addServeCommand } from './commands/serve-command.ts';
import { addUpkeepCommands } from './commands/upkeep-commands.ts';
import { addVerifyCommand } from './commands/verify-command.ts';
import { CommandEnd, exitCodes, isReaderGone, reportError } from './terminal.ts';

/** The program with all its commands and options. `isJson`: wrong usage is told by who runs it. */
export function createProgram(isJson = false): Command {
  const program = new Command('lethe')
    .description('A self-hosted conversation store that can forget')
    .version(VERSION)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => isJson || write(`lethe: ${text}`) });
  addAppCommands(program);
  addIngestCommand(program);
  addReadCommands(program);
  addEraseCommands(program);
  addForgetCommands(program);
  addEpochCommands(program);
  addVerifyCommand(program);
  addAttackCommand(program);
  addUpkeepCommands(program);
  addMigrateCommand(program);
  addCopyCommand(program);
  addServeCommand(program);
  return program;
}

/** Runs the program with the arguments of the process; sets its exit code. */
export async function runProgram(argv: readonly string[]): Promise<void> {
  const isJson = argv.includes('--json');
  const program = createProgram(isJson);
  process.stdout.on('error', (error) => {
    process.exit(isReaderGone(error) ? exitCodes.done : exitCodes.failed);
  });
  const endTracing = await startTracing(process.env);
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
      const title = error.message.replace(/^error: /, '');
      if (error.exitCode !== 0 && isJson) reportError(new CommandEnd(exitCodes.usage, title), true);
    } else {
      process.exitCode = reportError(error, isJson);
    }
  } finally {
    await endTracing();
  }
}
