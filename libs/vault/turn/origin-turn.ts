/** The record of a store that was restored or copied from another one: it waits for its keys. */
import type { KeyId } from '../../base/ids.ts';
import { type Randomness, randomId } from '../../base/random.ts';
import { keysWaitedFor } from './epoch-t1.ts';
import type { Original, Turn } from './turn-store.ts';

/** The record with keys that were ended by the way: T1 waits until they are gone. */
export function withEnded(turn: Turn, ended: readonly KeyId[]): Turn {
  const { waiting = [] } = turn;
  // No turn replaced them: that they are gone tells by itself of no loss.
  const more = ended.map((oldKmsKey) => ({ oldKmsKey, number: 0, failedApps: [] }));
  return { ...turn, waiting: [...waiting, ...more] };
}

/**
 * Makes it. Turns go on being numbered as they were: losses that came along have noted numbers.
 * `last`: the record of the original; keys that it waits for are waited for here too.
 */
export function originTurn(
  { randomness }: { readonly randomness: Randomness },
  of: {
    readonly last: Turn | undefined;
    /** The key at the root of the original, and the one here. */
    readonly oldKmsKey: KeyId;
    readonly newKmsKey: KeyId;
    readonly original: Original | undefined;
    readonly nowMs: number;
  },
): Turn {
  const { last, nowMs, original, ...keys } = of;
  const waiting = last === undefined ? [] : keysWaitedFor(last);
  return {
    ...keys,
    ...(original && { original }),
    id: randomId(randomness),
    number: last?.number ?? 0,
    step: 'done',
    startedAtMs: nowMs,
    runner: '',
    aliveAtMs: nowMs,
    t1AtMs: null,
    // That turn covers nothing of them, whoever's keys end.
    failedApps: last?.failedApps ?? [],
    waiting: waiting.filter(({ oldKmsKey }) => oldKmsKey !== of.oldKmsKey),
    buckets: 0,
    rows: 0,
  };
}
