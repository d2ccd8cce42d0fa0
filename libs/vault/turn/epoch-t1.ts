/**
 * T1: the KMS key that a turn replaced is gone. With keys in a folder that is at the end of the
 * turn; AWS KMS deletes a key days after it was told to, and until then later turns may come. So
 * every turn carries on the keys that are waited for. No clock decides what a turn covers: turns
 * are numbered, and a loss notes the newest turn that had begun when the last of it was written.
 */

import type { KeyId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { contended } from '../../base/retry.ts';
import type { RootKms } from '../keys/root-kms.ts';
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
 * vault throw.
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
  let gone = 0;
  let isWhole = true;
  for (const key of waiting) {
    const isGone = await endsOwn(kms, key, onBroughtBack);
    isWhole &&= isGone;
    if (!isWhole) continue;
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

function withoutKeys(turn: Turn, gone: readonly ReplacedKey[], nowMs: number): Turn {
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

/** What became of the keys of the stores that this one was restored or copied from. */
export interface EndedOriginals {
  readonly gone: readonly KeyId[];
  readonly pending: readonly KeyId[];
}

/**
 * Ends every key of the stores that this one was restored or copied from, in the KMS that has them.
 * Until they are gone no T1 is told: copies of the originals open with them. Throws
 * CONFIGURATION_INVALID: this KMS does not know the key, so it says nothing of where it is; or a
 * process serves with it.
 */
export async function endOriginals(
  { turns }: Pick<TurnContext, 'turns'>,
  kms: RootKms,
  nowMs: number,
): Promise<EndedOriginals> {
  const last = await turns.read();
  if (last !== undefined && last.step !== 'done') throw contended();
  const waiting = last === undefined ? [] : keysWaitedFor(last);
  const gone: KeyId[] = [];
  const pending: KeyId[] = [];
  const ended: ReplacedKey[] = [];
  const originals = waiting.filter(({ original }) => original !== undefined);
  const keysOf = new Map<ReplacedKey, KeyId[]>();
  // All of them are looked at before one is ended.
  for (const one of originals) {
    const keys = await keysOfOriginal(kms, one, last!.newKmsKey);
    for (const key of keys) await assertNotServing(kms, key, nowMs);
    keysOf.set(one, keys);
  }
  for (const [one, keys] of keysOf) {
    for (const key of keys) await kms.destroyKey(key);
    const states = await Promise.all(keys.map((key) => kms.describeKey(key)));
    for (const [i, key] of keys.entries()) (states[i] === 'gone' ? gone : pending).push(key);
    if (states.every((state) => state === 'gone')) ended.push(one);
  }
  if (last === undefined || gone.length + pending.length === 0) return { gone, pending };
  const isEnding = (one: ReplacedKey): ReplacedKey =>
    one.original === undefined ? one : { ...one, original: { ...one.original, isEnding: true } };
  const left = withoutKeys(last, ended, nowMs);
  const marked = { ...left, ...isEnding(left), waiting: left.waiting?.map(isEnding) ?? [] };
  if (!(await turns.write(marked, last))) throw contended();
  return { gone, pending };
}

// A process that serves says so every twenty seconds.
const SERVING_MS = 60_000;

/** Whoever runs a restore drill must not end what it came from. Throws CONFIGURATION_INVALID. */
async function assertNotServing(kms: RootKms, key: KeyId, nowMs: number): Promise<void> {
  const atMs = await kms.servedAtMs(key);
  if (atMs === undefined || nowMs - atMs > SERVING_MS) return;
  const text = `the original serves with the key ${key}: nothing was ended. After a restore drill`;
  throw new LetheError(
    'CONFIGURATION_INVALID',
    `${text} leave it; else stop its services first, and wait a minute if they were killed`,
  );
}

async function keysOfOriginal(
  kms: RootKms,
  { oldKmsKey, original }: ReplacedKey,
  own: KeyId,
): Promise<KeyId[]> {
  const state = await kms.describeKey(oldKmsKey);
  // A service tells no key that is gone from one that it never had: it must have shown it before.
  // Of an original without an id only this key is known: it may have been turned to others since.
  const isBlind = original!.store === null || !kms.remembersKeys;
  if (state === 'unknown' || (state === 'gone' && !original!.isEnding && isBlind)) {
    const text = `this KMS does not know the key ${oldKmsKey} of the original: name the one that`;
    throw new LetheError('CONFIGURATION_INVALID', `${text} the original used (--from-env)`);
  }
  const listed = original!.store === null ? [] : await kms.keysOf(original!.store);
  return [...new Set([oldKmsKey, ...listed])].filter((key) => key !== own);
}
