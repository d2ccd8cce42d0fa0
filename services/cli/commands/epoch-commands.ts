/** `lethe epoch`, `lethe backup` and `lethe restore`. */
import type { Command } from 'commander';
import { isLetheError, LetheError } from '../../../libs/base/lethe-error.ts';
import { readConfiguration } from '../../../libs/configuration/configuration.ts';
import { headToText, textToHead } from '../../../libs/requests/erasure-list.ts';
import { reachedT1 } from '../../../libs/vault/turn/epoch-t1.ts';
import { openRootKms } from '../../../libs/wiring/open-root-kms.ts';
import { makeBackup } from '../../operations/backup.ts';
import { restore } from '../../operations/restore.ts';
import { settleIfWhole, turnEpoch } from '../../operations/turn-epoch.ts';
import { readEnvironment, withStore } from '../open-store.ts';
import { createProgress, exitCodes, printResult } from '../terminal.ts';

const REDELIVERIES =
  'deliveries after that backup are not remembered: one of somebody who was erased since, ' +
  'delivered again by its channel, is taken as new';

/** Adds the commands. */
export function addEpochCommands(program: Command): void {
  const epoch = program
    .command('epoch')
    .description('turns of the key at the root: turn, status, end-original, end-copies');
  epoch
    .command('turn')
    .description('end the epoch: old copies of the vault open nothing from then on (T1)')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async (store) => {
        const progress = createProgress(options.json);
        const late: string[] = [];
        const onLate = (error: unknown) => void late.push(messageOf(error));
        const onProgress = (text: string) => progress.show(text);
        const { turn, backup } = await turnEpoch(store, onProgress, onLate);
        progress.clear();
        const { buckets, rows, failedApps } = turn;
        const t1AtMs = reachedT1(turn);
        const t1 = t1AtMs === null ? null : new Date(t1AtMs).toISOString();
        printResult(options.json, { ...turn, t1, backup: backup ?? null, late }, [
          `${buckets} buckets and ${rows} rows under new keys`,
          ...failedApps.map((app) => `app ${app} failed: it keeps its keys until the next turn`),
          ...damagedLines(turn.damaged ?? []),
          `backup, tested: ${backup}`,
          t1 === null
            ? 'T1: pending: lethe epoch status says which keys it waits for'
            : `T1: ${t1}, for all that was erased before this turn; older backups open nothing`,
        ]);
        for (const text of late) process.stderr.write(`lethe: the turn is done, but ${text}\n`);
        if (failedApps.length + late.length > 0) process.exitCode = 1;
      }),
    );
  epoch
    .command('status')
    .description('what waits for a turn, and what the KMS says of the last key')
    .option('--json', 'print JSON')
    .action((options) =>
      withStore(async ({ backends }) => {
        const undone = await settleIfWhole({ backends }).catch((error) => {
          messageOf(error);
          return [];
        });
        const afterlives = await backends.privacy().requests.afterlives();
        const waitingForT1 = afterlives.filter((one) => one.t1AtMs === null).length;
        const { erasures } = backends.privacy();
        const listProblem = await erasures.assertOwn().then(() => null, messageOf);
        const erasuresHead = listProblem === null ? headToText(await erasures.head()) : null;
        const own = { waitingForT1, erasuresHead, listProblem, undone };
        const status = { ...(await backends.epoch().status()), ...own };
        const { lastTurn, dirtyBuckets, kmsKey, oldKmsKeyState, holdersBehind } = status;
        printResult(options.json, status, [
          `KMS key ${kmsKey}`,
          `${dirtyBuckets} buckets lost something that old copies of the vault still open`,
          `${waitingForT1} losses wait for T1`,
          ...undoneLines(undone),
          lastTurn === null
            ? 'no turn yet'
            : `last turn: ${lastTurn.step}; its old KMS key is ${oldKmsKeyState}`,
          ...(lastTurn === null || lastTurn.step === 'done' ? [] : [UNFINISHED]),
          `${status.keysWaitedFor} old KMS keys are waited for`,
          ...status.keysOfOriginals.map((key) => `T1 waits for ${key}: ${OF_ORIGINAL}`),
          ...status.keysOfCopies.map((key) => `T1 waits for ${key}: ${OF_COPY}`),
          ...damagedLines(lastTurn?.damaged ?? []),
          ...(lastTurn?.failedApps ?? []).map((app) => `app ${app} failed in that turn`),
          listProblem ?? `the list of erasures goes to ${erasuresHead}`,
          `${holdersBehind.length} holders of keys have not answered yet`,
        ]);
      }),
    );
  addEndOriginal(epoch);
  addEndCopies(epoch);
  addBackupCommands(program);
}

const UNFINISHED =
  'that turn is not finished: unless a process runs it now, lethe epoch turn goes on with it';

function addEndOriginal(epoch: Command): void {
  epoch
    .command('end-original')
    .description('end the keys of the store that this one was restored or copied from')
    .option('--from-env <file>', 'the variables of the original, if it had another LETHE_KMS')
    .option('--yes', 'the original has ended, and nobody needs its backups')
    .option('--copies', 'end the keys of whatever else was restored or copied from it, too')
    .option('--json', 'print JSON')
    .action((options: { fromEnv?: string; yes?: true; copies?: true; json?: true }) =>
      withStore(async ({ backends, configuration }) => {
        if (options.yes !== true) {
          const text = 'the original and all its backups open nothing afterwards: add --yes';
          throw new LetheError('INPUT_INVALID', text);
        }
        const of = options.fromEnv ? readEnvironment(options.fromEnv) : configuration;
        const nowMs = backends.privacy().clock.nowMs();
        const how = { nowMs, evenCopies: options.copies === true };
        const ended = await backends.epoch().endOriginals(await openRootKms(of), how);
        const undone = await settleIfWhole({ backends });
        const isNone = ended.gone.length + ended.pending.length === 0;
        printResult(options.json === true, { ...ended, undone }, [
          ...undoneLines(undone),
          ...(isNone ? ['this store waits for no keys of another one'] : []),
          `${ended.gone.length} keys of the original are gone`,
          ...(ended.pending.length === 0
            ? []
            : [`${ended.pending.length} are scheduled to go: run this again when they are gone`]),
        ]);
      }),
    );
}

function addEndCopies(epoch: Command): void {
  epoch
    .command('end-copies')
    .description('end the keys of the stores that were restored or copied from this one')
    .option('--yes', 'they have ended, and nobody needs them or their backups')
    .option('--json', 'print JSON')
    .action((options: { yes?: true; json?: true }) =>
      withStore(async ({ backends }) => {
        const { keysOfCopies } = await backends.epoch().status();
        if (options.yes !== true && keysOfCopies.length > 0) {
          const those = keysOfCopies.join(', ');
          const text = `what has these keys, and its backups, open nothing afterwards: ${those}`;
          throw new LetheError('INPUT_INVALID', `${text}. Add --yes`);
        }
        const ended = await backends.epoch().endCopies();
        const undone = await settleIfWhole({ backends });
        const { gone, pending } = ended;
        printResult(options.json === true, { ...ended, undone }, [
          ...undoneLines(undone),
          gone.length + pending.length === 0
            ? 'nothing that was restored or copied from this store has a key here'
            : `${gone.length} keys of stores made of this one are gone`,
          ...(pending.length === 0
            ? []
            : [`${pending.length} are scheduled to go: T1 comes when they are gone`]),
        ]);
      }),
    );
}

function undoneLines(undone: readonly string[]): string[] {
  if (undone.length === 0) return [];
  const why = 'as rows were written back or removed, or a process was killed';
  const text = `${undone.join(', ')}: undone, ${why}`;
  return [`${text}. No T1 is told until privacy, or a turn, has carried them out once more`];
}

/** What an operator is told of the list of erasures instead of its head. */
function messageOf(error: unknown): string {
  if (isLetheError(error) && !error.retryable) return error.message;
  throw error;
}

/** How far a restore takes the list of erasures to go. Throws INPUT_INVALID. */
function readHead(options: { erasuresHead?: string; erasuresMayEndEarly?: true }) {
  if (options.erasuresHead === undefined) {
    if (options.erasuresMayEndEarly === true) return 'any';
    throw new LetheError(
      'INPUT_INVALID',
      'say how far the list of erasures goes, so that nobody comes back whose entry was lost: ' +
        '--erasures-head HEAD (lethe epoch status told it, and each certificate does), or ' +
        '--erasures-may-end-early',
    );
  }
  const head = textToHead(options.erasuresHead);
  if (head === undefined) {
    throw new LetheError('INPUT_INVALID', '--erasures-head: expected a number, -, 64 hex digits');
  }
  return head;
}

function damagedLines(rows: readonly { app: string; kind: number; id: string }[]): string[] {
  return rows.map(({ app, kind, id }) => {
    return `damaged: row ${kind}.${id} of app ${app} does not authenticate; all others went on`;
  });
}

const OF_ORIGINAL = 'a key of the store that this one came from (lethe epoch end-original)';
const OF_COPY = 'a key of a store that was made of this one (lethe epoch end-copies)';

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
    .option('--erasures-head <head>', 'how far the list of erasures goes, as status tells')
    .option('--erasures-may-end-early', 'take the list as it is: later entries may be missing')
    .option('--remove-newer', 'remove events that are newer and cannot be opened with it')
    .option('--json', 'print JSON')
    .action(async (folder: string, options) => {
      const erasuresHead = readHead(options);
      const progress = createProgress(options.json);
      const configuration = readConfiguration(process.env);
      const restored = await restore(configuration, folder, {
        isNewerRemoved: options.removeNewer === true,
        erasuresHead,
        onProgress: (text) => progress.show(text),
      });
      progress.clear();
      printResult(options.json, restored, [
        `restored ${restored.backup}, made at ${restored.madeAt}`,
        `${restored.applied} erasures that are newer were applied again`,
        ...(restored.removed === 0
          ? []
          : [`${restored.removed} events that it cannot open were removed from the log`]),
        `${restored.events} events of the log are in the views`,
        'T1 waits for the key of the original. In a restore drill leave that key alone. When the ' +
          'original is gone for good, and nobody needs its backups: lethe epoch end-original --yes',
        restored.ownBackup === null
          ? 'no backup of this store could be made yet: make one before it is used'
          : `its first backup: ${restored.ownBackup}; keep it: earlier ones know none of its keys`,
        REDELIVERIES,
        ...damagedLines(restored.damaged),
        ...restored.left,
      ]);
      if (restored.damaged.length > 0) process.exitCode = exitCodes.tampered;
    });
}
