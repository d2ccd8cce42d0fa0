/** `lethe migrate`: makes and upgrades what the engines need. */
import type { Command } from 'commander';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import { migrateEngines } from '../../../libs/wiring/open-engines.ts';
import { printResult } from '../terminal.ts';

export function addMigrateCommand(program: Command): void {
  program
    .command('migrate')
    .description('make and upgrade topic and tables; before the first start and after an upgrade')
    .option('--json', 'print JSON')
    .action(async (options: { json?: true }) => {
      const migrated = await migrateEngines(readConfiguration(process.env));
      const lines = migrated.map(({ engine, done }) => `${engine}: ${done}`);
      if (lines.length === 0) lines.push('embedded engines need nothing');
      printResult(options.json === true, { migrated }, lines);
    });
}
