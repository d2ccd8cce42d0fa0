/**
 * T1: the KMS key that a turn replaced is gone. With keys in a folder that is at the end of the
 * turn; AWS KMS deletes a key days after it was told to, and until then later turns may come. So
 * every turn carries on the keys that are waited for.
 */

import type { TurnContext } from './turn-run.ts';
import type { ReplacedKey, Turn } from './turn-store.ts';

/** What a turn's T1 covers: all that was done before it, but for the apps that failed. */
export interface ReachedT1 extends Omit<ReplacedKey, 'oldKmsKey'> {
  readonly t1AtMs: number;
}

/** Keys that turns replaced and the KMS has still, oldest first. */
export function keysWaitedFor(turn: Turn): readonly ReplacedKey[] {
  const { oldKmsKey, startedAtMs, failedApps, t1AtMs, waiting = [] } = turn;
  return t1AtMs === null ? [...waiting, { oldKmsKey, startedAtMs, failedApps }] : waiting;
}

/**
 * Asks the KMS for the keys that are waited for. A turn's T1 has come when its key and those of all
 * earlier turns are gone: older copies of the vault open with those. Told before it is recorded, so
 * that it may be told twice. Throws what the KMS or the vault throw.
 */
export async function settleT1(
  { turns, kms }: Pick<TurnContext, 'turns' | 'kms'>,
  nowMs: number,
  onReached: (reached: ReachedT1) => Promise<unknown>,
): Promise<void> {
  const last = await turns.read();
  // While a turn runs its record is the runner's.
  if (last === undefined || last.step !== 'done') return;
  if (last.t1AtMs !== null) await onReached({ ...last, t1AtMs: last.t1AtMs });
  const waiting = keysWaitedFor(last);
  let gone = 0;
  while (gone < waiting.length && (await kms.describeKey(waiting[gone]!.oldKmsKey)) === 'gone') {
    const { startedAtMs, failedApps } = waiting[gone]!;
    await onReached({ startedAtMs, failedApps, t1AtMs: nowMs });
    gone += 1;
  }
  if (gone === 0) return;
  const left = waiting.slice(gone);
  const isLast = left.length === 0 && last.t1AtMs === null;
  const before = left.filter(({ startedAtMs }) => startedAtMs !== last.startedAtMs);
  // Not written: another process noted the same, or began a turn, which carries them on.
  await turns.write({ ...last, waiting: before, ...(isLast && { t1AtMs: nowMs }) }, last);
}
