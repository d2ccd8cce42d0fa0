/** `lethe copy`: takes a store to other engines. */
import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import type { Command } from 'commander';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import {
  type Configuration,
  readConfiguration,
} from '../../../libs/configuration/configuration.ts';
import { createWakeSignal } from '../../../libs/event-log/wake-signal.ts';
import { rebuildViews } from '../../../libs/projection/project.ts';
import { migrateEngines } from '../../../libs/wiring/open-engines.ts';
import { openProjectorBackends } from '../../../libs/wiring/open-projector.ts';
import { copyStore } from '../../operations/copy-store.ts';
import { createProgress, printResult } from '../terminal.ts';

export function addCopyCommand(program: Command): void {
  program
    .command('copy')
    .description('take a store to other engines; stop all services first; can be run again')
    .requiredOption('--from-env <file>', 'the variables of the store that is there')
    .requiredOption('--to-env <file>', 'the variables of the engines to copy to')
    .option('--json', 'print JSON')
    .action(async (options: { fromEnv: string; toEnv: string; json?: true }) => {
      const [from, to] = [readEnvironment(options.fromEnv), readEnvironment(options.toEnv)];
      const progress = createProgress(options.json === true);
      await migrateEngines(to);
      const copied = await copyStore(from, to, (text) => progress.show(text));
      const events = await rebuild(to, (text) => progress.show(text));
      progress.clear();
      printResult(options.json === true, { ...copied, events }, [
        `log: ${copied.log.records} records, SHA-256 ${copied.log.hash}`,
        `vault: ${copied.vault.rows} rows, ${copied.vault.segments} segments; none differs`,
        `state: ${copied.state.deliveries} deliveries, ${copied.state.requests} requests`,
        `views: built from ${events} events`,
      ]);
    });
}

async function rebuild(to: Configuration, show: (text: string) => void): Promise<number> {
  const powers = await openProjectorBackends(to, createWakeSignal());
  try {
    return await rebuildViews(powers, (done, total) => show(`${done} of ${total} into the views`));
  } finally {
    await powers.close();
  }
}

function readEnvironment(file: string): Configuration {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new LetheError('INPUT_INVALID', `cannot read ${file}`, { cause });
  }
  const variables = Object.entries(parseEnv(text)).filter(([name]) => name.startsWith('LETHE_'));
  return readConfiguration(Object.fromEntries(variables));
}
