/** `lethe copy`: takes a store to other engines. */
import type { Command } from 'commander';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import type { Configuration } from '../../../libs/configuration/configuration.ts';
import { rebuildViews } from '../../../libs/projection/project.ts';
import { openBackends } from '../../../libs/wiring/open-backends.ts';
import { migrateEngines } from '../../../libs/wiring/open-engines.ts';
import { copyStore, reopenOriginal } from '../../operations/copy-store.ts';
import { readEnvironment } from '../open-store.ts';
import { createProgress, printResult } from '../terminal.ts';

interface CopyOptions {
  readonly fromEnv: string;
  readonly toEnv?: string;
  readonly keepOpen?: true;
  readonly reopen?: true;
  readonly json?: true;
}

export function addCopyCommand(program: Command): void {
  program
    .command('copy')
    .description('take a store to other engines; stop all services first; can be run again')
    .requiredOption('--from-env <file>', 'the variables of the store that is there')
    .option('--to-env <file>', 'the variables of the engines to copy to')
    .option('--keep-open', 'leave the original open, to copy once more before the change')
    .option('--reopen', 'open an original again that a copy has closed; the copy is given up')
    .option('--json', 'print JSON')
    .action(async (options: CopyOptions) => {
      const from = readEnvironment(options.fromEnv);
      if (options.reopen) {
        await reopenOriginal(from);
        return printResult(options.json === true, { reopened: true }, ['the original is open']);
      }
      if (options.toEnv === undefined) {
        throw new LetheError('INPUT_INVALID', 'name where to copy to: --to-env FILE');
      }
      const to = readEnvironment(options.toEnv);
      const isKeptOpen = options.keepOpen === true;
      const progress = createProgress(options.json === true);
      await migrateEngines(to);
      const onProgress = (text: string) => progress.show(text);
      const copied = await copyStore(from, to, { onProgress, isKeptOpen });
      const events = await rebuild(to, (text) => progress.show(text));
      progress.clear();
      printResult(options.json === true, { ...copied, events }, [
        `log: ${copied.log.records} records, SHA-256 ${copied.log.hash}`,
        ...(copied.log.foreign > 0
          ? [`log: ${copied.log.foreign} records that others had sent were left out`]
          : []),
        `vault: ${copied.vault.rows} rows, ${copied.vault.segments} segments; none differs`,
        `state: ${copied.state.deliveries} deliveries, ${copied.state.requests} requests`,
        `views: built from ${events} events`,
        isKeptOpen
          ? 'the original is open: what is written there now is not in the copy'
          : 'the original is closed: when it is not needed any more, lethe epoch end-original',
      ]);
    });
}

async function rebuild(to: Configuration, show: (text: string) => void): Promise<number> {
  const backends = await openBackends(to, { mustExist: true });
  try {
    const { keyring } = backends.reader();
    return await rebuildViews(backends.projector(), keyring, (done, total) =>
      show(`${done} of ${total} into the views`),
    );
  } finally {
    await backends.close();
  }
}
