/** Turns of the epoch with the backup that each of them needs, and T1 noted where it has come. */

import { assertFolderUsable } from '../../libs/base/durable-file.ts';
import type { AppId, KeyId } from '../../libs/base/ids.ts';
import type { ReachedT1 } from '../../libs/vault/turn/epoch-t1.ts';
import type { OpenStore } from '../../libs/wiring/open-backends.ts';
import { completeLate, noteT1 } from '../privacy/life/afterlife.ts';
import { enforceErasures, findUndone, readWhole, takenUncovered } from '../privacy/life/enforce.ts';
import { makeBackup, removeBackup, testBackup } from './backup.ts';

/**
 * Runs a turn with its own backup, made and tested before the old KMS key goes. `onLate` is told
 * what failed when the turn was done; without it that is thrown.
 */
export async function turnEpoch(
  { backends, configuration }: OpenStore,
  onProgress: (text: string) => void = () => undefined,
  onLate: (error: unknown) => void = (error) => {
    throw error;
  },
) {
  const nowMs = () => backends.privacy().clock.nowMs();
  let backup: string | undefined;
  const onUndone = ({ message }: Error) => onProgress(message);
  const options = {
    nowMs,
    onProgress,
    findLost: () => takenUncovered(backends.privacy()),
    takeAgain: async () => (await enforceErasures(backends.privacy(), onUndone)).untaken,
    async testBackup() {
      const made = await makeBackup(
        { backends, configuration },
        configuration.backupsFolder,
        nowMs(),
      );
      try {
        await testBackup({ backends, configuration }, made);
      } catch (error) {
        // One that restores nothing must not be taken for one, nor fill the disk.
        removeBackup(made);
        throw error;
      }
      backup = made.folder;
    },
  };
  const epoch = backends.epoch();
  // A turn that began goes on until it is finished: what keeps it from that is told before.
  assertFolderUsable('LETHE_BACKUPS', configuration.backupsFolder);
  await enforceErasures(backends.privacy(), onUndone);
  const { lastTurn } = await epoch.status();
  let turn = await epoch.turn(options);
  // One that was interrupted does not cover what was erased since it began.
  const isResumed = lastTurn !== null && lastTurn.step !== 'done';
  if (isResumed && (await epoch.status()).dirtyBuckets > 0) turn = await epoch.turn(options);
  // Rows that were written back beside the turn are under its new keys: it covers nothing of them.
  const { found, failed } = await enforceErasures(backends.privacy(), onUndone);
  if (found > failed) turn = await epoch.turn(options);
  const onBroughtBack = (key: KeyId) =>
    onProgress(`a KMS key that was scheduled to go had been brought back: ${key}`);
  await settleEpoch({ backends }, onBroughtBack)
    .then(() => completeLate(backends.privacy()))
    .catch(onLate);
  // As it is recorded now: keys that were waited for may be gone.
  return { turn: (await epoch.status()).lastTurn ?? turn, backup };
}

/**
 * Notes T1 where it has come, but for apps of which something is there again that it would be told
 * of. What is: requests of the list, by their kinds and ids.
 */
export async function settleIfWhole(store: Pick<OpenStore, 'backends'>): Promise<string[]> {
  const powers = store.backends.privacy();
  const undone = await findUndone(powers, await readWhole(powers));
  await settleEpoch(
    store,
    () => undefined,
    undone.map(({ request }) => request.app),
  );
  return undone.map(({ request }) => `${request.kind} ${request.id}`);
}

/** Notes T1 where it has come: of the last turn, and of those whose KMS key is gone by now. */
export async function settleEpoch(
  { backends }: Pick<OpenStore, 'backends'>,
  onBroughtBack: (key: KeyId) => void = () => undefined,
  /** Apps of which none is told. */
  passedOver: readonly AppId[] = [],
): Promise<void> {
  const powers = backends.privacy();
  const nowMs = powers.clock.nowMs();
  const onReached = (reached: ReachedT1) =>
    noteT1(powers, { ...reached, failedApps: [...reached.failedApps, ...passedOver] });
  await backends.epoch().settleT1(nowMs, { onReached, onBroughtBack });
}
