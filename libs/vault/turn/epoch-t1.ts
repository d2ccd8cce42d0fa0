/**
 * T1: the KMS key that a turn replaced is gone. With keys in a folder that is at the end of the
 * turn; AWS KMS deletes a key days after it was told to, and until then later turns may come. So
 * every turn carries on the keys that are waited for. What was restored or copied from this store
 * opens what was erased here since: no T1 comes while such a store has a key.
 *
 * No clock decides what a turn covers: turns are numbered, and a loss notes the newest turn that
 * had begun when the last of it was written.
 */

import type { KeyId } from '../../base/ids.ts';
import type { RootKms } from '../keys/root-kms.ts';
import { keysOfOwnCopies } from './keys-of-copies.ts';
import { assertRightKms } from './right-kms.ts';
import type { TurnContext } from './turn-run.ts';
import type { ReplacedKey, Turn, TurnStore } from './turn-store.ts';

/** What a turn's T1 covers: all losses that it began after, but for the apps that failed. */
export interface ReachedT1 extends Pick<ReplacedKey, 'number' | 'failedApps'> {
  readonly t1AtMs: number;
}

/** What is told while T1 is settled. */
export interface T1Listener {
  /** Before it is recorded, so it may be told twice. */
  onReached(reached: ReachedT1): Promise<unknown>;
  /** A key that was scheduled to go had been brought back; it has been scheduled again. */
  onBroughtBack(key: KeyId): void;
}

/** When a turn's T1 came: its own key is gone, and so is every one that was there before. */
export function reachedT1({ t1AtMs, waiting = [] }: Turn): number | null {
  return waiting.length === 0 ? t1AtMs : null;
}

/** Keys that turns replaced and a KMS has still, oldest first. */
export function keysWaitedFor(turn: Turn): readonly ReplacedKey[] {
  const { oldKmsKey, number, failedApps, original, t1AtMs, waiting = [] } = turn;
  if (t1AtMs !== null) return waiting;
  return [...waiting, { oldKmsKey, number, failedApps, ...(original && { original }) }];
}

/**
 * Asks the KMS for the keys that are waited for. A turn's T1 has come when its key and those of all
 * earlier turns are gone: older copies of the vault open with those. Throws what the KMS or the
 * vault throw, and ROOT_KMS_DENIED: it is not the KMS of this store.
 */
export async function settleT1(
  { turns, kms }: Pick<TurnContext, 'turns' | 'kms'>,
  nowMs: number,
  { onReached, onBroughtBack }: T1Listener,
): Promise<void> {
  const last = await turns.read();
  // While a turn runs its record is the runner's.
  if (last === undefined || last.step !== 'done') return;
  const t1AtMs = reachedT1(last);
  if (t1AtMs !== null) await onReached({ ...last, t1AtMs });
  const waiting = keysWaitedFor(last);
  if (waiting.length > 0) await assertRightKms(kms, last.newKmsKey);
  let gone = 0;
  let isWhole = waiting.length === 0 || (await keysOfOwnCopies(kms, last.newKmsKey)).length === 0;
  for (const key of waiting) {
    const isGone = await endsOwn(kms, key, onBroughtBack);
    isWhole &&= isGone;
    if (!isWhole) continue;
    await assertRightKms(kms, last.newKmsKey);
    await onReached({ ...key, t1AtMs: nowMs });
    gone += 1;
  }
  if (gone === 0) return;
  const left = withoutKeys(last, waiting.slice(0, gone), nowMs);
  // Not written: another process noted the same, or began a turn, which carries them on.
  if (!(await turns.write(left, last))) return;
  const leftAtMs = reachedT1(left);
  if (leftAtMs !== null) await onReached({ ...left, t1AtMs: leftAtMs });
}

/** Is a key of this store gone? One that was brought back is ended again. */
async function endsOwn(
  kms: RootKms,
  { oldKmsKey, original }: ReplacedKey,
  onBroughtBack: (key: KeyId) => void,
): Promise<boolean> {
  if (original !== undefined) return false;
  const state = await kms.describeKey(oldKmsKey);
  if (state === 'usable' || state === 'disabled') {
    onBroughtBack(oldKmsKey);
    await kms.destroyKey(oldKmsKey);
  }
  return state === 'gone';
}

/** The record of a turn without keys that are gone, and with its T1 if that has come by it. */
export function withoutKeys(turn: Turn, gone: readonly ReplacedKey[], nowMs: number): Turn {
  const left = (turn.waiting ?? []).filter(
    (one) => !gone.some(({ oldKmsKey }) => oldKmsKey === one.oldKmsKey),
  );
  const isOwnGone = gone.some(({ oldKmsKey }) => oldKmsKey === turn.oldKmsKey);
  const t1AtMs = turn.t1AtMs ?? (isOwnGone ? nowMs : null);
  // Told when the last of all that are waited for has gone, whichever that is.
  const isLast = t1AtMs !== null && left.length === 0 && gone.length > 0;
  return { ...turn, waiting: left, t1AtMs: isLast ? nowMs : t1AtMs };
}

/** The number of the newest turn that has begun; 0: none has. */
export async function newestTurn({ turns }: { readonly turns: TurnStore }): Promise<number> {
  return (await turns.read())?.number ?? 0;
}
