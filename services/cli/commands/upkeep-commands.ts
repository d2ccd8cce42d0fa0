/** `lethe rebuild`, `lethe doctor` and `lethe reclaim`: what keeps a store in order. */
import type { Command } from 'commander';
import { rebuildViews } from '../../../libs/projection/project.ts';
import { runDoctor } from '../../operations/doctor.ts';
import { reclaimDue } from '../../operations/upkeep.ts';
import { withStore } from '../open-store.ts';
import { createProgress, exitCodes, printResult } from '../terminal.ts';

const WHY = 'their app is being erased, or has one that only a newer Lethe knows';

/** Adds the commands. */
export function addUpkeepCommands(program: Command): void {
  addReclaim(program);
  program
    .command('rebuild')
    .description('build the views anew from the log, beside those that serve, and switch')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async ({ backends }) => {
        const progress = createProgress(options.json);
        const started = performance.now();
        const events = await rebuildViews(
          backends.projector(),
          backends.reader().keyring,
          (done, total) => progress.show(`${done} of ${total} events`),
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
        const progress = createProgress(options.json === true);
        const checks = await runDoctor(store, (text) => progress.show(text));
        progress.clear();
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
        const { losses, records, waiting, kept, nextDueMs } = done;
        const nextDue = nextDueMs === null ? null : new Date(nextDueMs).toISOString();
        printResult(options.json, { losses, records, waiting, kept, nextDue, seconds }, [
          losses === 0
            ? 'nothing is due'
            : `${records} events of ${losses} losses removed in ${seconds} s`,
          `${waiting} losses wait${nextDue === null ? '' : `, the first until ${nextDue}`}`,
          ...(kept === 0 ? [] : [`${kept} of them are due, and wait for another request: ${WHY}`]),
        ]);
      }),
    );
}
