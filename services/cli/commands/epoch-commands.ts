/** `lethe epoch`, `lethe backup` and `lethe restore`. */
import type { Command } from 'commander';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import { makeBackup } from '../../operations/backup.ts';
import { restore } from '../../operations/restore.ts';
import { settleEpoch, turnEpoch } from '../../operations/turn-epoch.ts';
import { kindUnknown } from '../../privacy/kinds/kinds.ts';
import { withStore } from '../open-store.ts';
import { createProgress, printResult } from '../terminal.ts';

/** Adds the commands. */
export function addEpochCommands(program: Command): void {
  const epoch = program.command('epoch').description('turns of the key at the root: turn, status');
  epoch
    .command('turn')
    .description('end the epoch: old copies of the vault open nothing from then on (T1)')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async (store) => {
        const progress = createProgress(options.json);
        const { turn, backup } = await turnEpoch(store, (text) => progress.show(text));
        progress.clear();
        const { buckets, rows, failedApps, t1AtMs } = turn;
        const covers = new Date(turn.startedAtMs).toISOString();
        const t1 = t1AtMs === null ? null : new Date(t1AtMs).toISOString();
        printResult(options.json, { ...turn, t1, covers, backup: backup ?? null }, [
          `${buckets} buckets and ${rows} rows under new keys`,
          ...failedApps.map((app) => `app ${app} failed: it keeps its keys until the next turn`),
          `backup, tested: ${backup}`,
          t1 === null
            ? 'T1: pending, the old KMS key is scheduled to be deleted'
            : `T1: ${t1}, for all that was erased before ${covers}; older backups open nothing`,
        ]);
        if (failedApps.length > 0) process.exitCode = 1;
      }),
    );
  epoch
    .command('status')
    .description('what waits for a turn, and what the KMS says of the last key')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async ({ backends }) => {
        await settleEpoch({ backends });
        const afterlives = await backends.privacy().requests.afterlives();
        const waitingForT1 = afterlives.filter((one) => one.t1AtMs === null).length;
        const status = { ...(await backends.epoch().status()), waitingForT1 };
        const { lastTurn, dirtyBuckets, kmsKey, oldKmsKeyState, holdersBehind } = status;
        printResult(options.json, status, [
          `KMS key ${kmsKey}`,
          `${dirtyBuckets} buckets lost something that old copies of the vault still open`,
          `${waitingForT1} losses wait for T1`,
          lastTurn === null
            ? 'no turn yet'
            : `last turn: ${lastTurn.step}; its old KMS key is ${oldKmsKeyState}`,
          `${status.keysWaitedFor} old KMS keys are not gone yet`,
          ...(lastTurn?.failedApps ?? []).map((app) => `app ${app} failed in that turn`),
          `${holdersBehind.length} holders of keys have not answered yet`,
        ]);
      }),
    );
  addBackupCommands(program);
}

function addBackupCommands(program: Command): void {
  program
    .command('backup')
    .description('a consistent copy while serving, without the KMS keys')
    .argument('<dir>', 'where backups are kept; each gets a folder of its own')
    .option('--json', 'print JSON')
    .action((folder: string, options) =>
      withStore(async (store) => {
        const nowMs = store.backends.privacy().clock.nowMs();
        const made = await makeBackup(store, folder, nowMs);
        printResult(options.json, { backup: made.folder, ...made.manifest }, [
          `backup ${made.folder}`,
          `it opens with KMS key ${made.manifest.kmsKey} alone, which is not in it`,
        ]);
      }),
    );
  program
    .command('restore')
    .description('make a backup the store again; what was erased since is erased again first')
    .argument('<dir>', 'a backup, or the folder that backups are kept in')
    .option('--remove-newer', 'remove events that are newer and cannot be opened with it')
    .option('--json', 'print JSON')
    .action(async (folder: string, options) => {
      const progress = createProgress(options.json);
      const configuration = readConfiguration(process.env);
      const restored = await restore(configuration, folder, {
        isNewerRemoved: options.removeNewer === true,
        onProgress: (text) => progress.show(text),
      });
      progress.clear();
      printResult(options.json, restored, [
        `restored ${restored.backup}, made at ${restored.madeAt}`,
        `${restored.applied} erasures that are newer were applied again`,
        ...(restored.removed === 0
          ? []
          : [`${restored.removed} events that it cannot open were removed from the log`]),
        `${restored.events} events in the views`,
        ...restored.unknown.map((kind) => kindUnknown(kind).message),
      ]);
    });
}
