/** `lethe ingest`: events from files or stdin into the store, and into the views. */
import type { Command } from 'commander';
import type { LetheError } from '../../../libs/base/lethe-error.ts';
import { ingestFiles, type Problem } from '../../operations/ingest-files.ts';
import { findApp, withStore } from '../open-store.ts';
import { createProgress, exitCodes, printResult } from '../terminal.ts';

const PROBLEMS_SHOWN_MAX = 10;

/** Adds the command. */
export function addIngestCommand(program: Command): void {
  program
    .command('ingest')
    .description('take in events: CloudEvents JSON, one a line or an array a line, plain or gzip')
    .argument('[files...]', 'files; none or - is standard input')
    .requiredOption('--app <app>', 'name or id of the app')
    .option('--no-wait', 'return when everything is durable, before the views have it')
    .option(
      '--report <file>',
      'where rejected events are listed, made anew by each run that rejects any',
      'lethe-rejected.jsonl',
    )
    .option('--json', 'print JSON')
    .action(async (files: string[], options) => {
      await withStore(async (store) => {
        const app = await findApp(store.backends, options.app);
        const { wait, report } = options;
        const shown = createProblemList(options.json === true);
        const settings = { app: app.id, wait, report, ...shown.listeners };
        const summary = await ingestFiles(store, files.length === 0 ? ['-'] : files, settings);
        shown.clear();
        const { accepted, duplicate, erased, rejected, seconds } = summary;
        printResult(options.json === true, summary, [
          `${accepted} accepted, ${duplicate} duplicate, ${erased} erased, ${rejected} rejected`,
          `in ${seconds} s`,
          ...(summary.report === undefined ? [] : [`rejected lines: ${summary.report}`]),
        ]);
        if (rejected > 0) process.exitCode = exitCodes.failed;
      });
    });
}

/** Shows progress, stalls, and the first problems in words; all problems are in the report. */
function createProblemList(isJson: boolean) {
  const progress = createProgress(isJson);
  let count = 0;
  return {
    listeners: {
      onProgress: (text: string) => progress.show(text),
      onProblem({ file, line, index, field, expected }: Problem): void {
        count += 1;
        if (isJson || count > PROBLEMS_SHOWN_MAX) return;
        progress.clear();
        const place = index === undefined ? `${line}` : `${line}[${index}]`;
        const where = `${file}:${place}${field === '' ? '' : ` ${field}`}`;
        process.stderr.write(`${where}: expected ${expected}\n`);
      },
      onTrouble({ message }: LetheError): void {
        progress.clear();
        process.stderr.write(`lethe: ${message}: trying again\n`);
      },
    },
    clear: () => progress.clear(),
  };
}
