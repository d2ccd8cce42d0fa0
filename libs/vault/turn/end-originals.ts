/**
 * The end of the keys of stores that this one was restored or copied from, and of what else was
 * made of those. Also of what was made of this one. Until they are gone, no T1 is told here.
 */

import type { KeyId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { contended } from '../../base/retry.ts';
import type { RootKms } from '../keys/root-kms.ts';
import { rootKmsKey } from './epoch-status.ts';
import { keysWaitedFor, withoutKeys } from './epoch-t1.ts';
import { keysOfCopies, keysOfOwnCopies } from './keys-of-copies.ts';
import { assertRightKms } from './right-kms.ts';
import type { TurnContext } from './turn-run.ts';
import type { ReplacedKey } from './turn-store.ts';

/** A key, and the KMS that has it. */
interface KeyAt {
  readonly kms: RootKms;
  readonly key: KeyId;
}

/** What became of keys that were told to go. */
export interface EndedKeys {
  readonly gone: readonly KeyId[];
  readonly pending: readonly KeyId[];
}

/**
 * Ends every key of the stores that this one was restored or copied from, in the KMS that has them.
 * Until they are gone no T1 is told: copies of the originals open with them. What else was made of
 * those stores opens the same, and goes with them if it is said (`evenCopies`). Throws
 * CONFIGURATION_INVALID: this KMS does not know the key, so it says nothing of where it is; a
 * process serves with it; or there are such copies, and it was not said. ROOT_KMS_DENIED: the
 * KMS of this store is not the one that answers. CONTENDED: keys were made there meanwhile.
 */
export async function endOriginals(
  { turns, kms: own }: Pick<TurnContext, 'turns' | 'kms'>,
  kms: RootKms,
  { nowMs, evenCopies }: { readonly nowMs: number; readonly evenCopies: boolean },
): Promise<EndedKeys> {
  const last = await turns.read();
  if (last !== undefined && last.step !== 'done') throw contended();
  const waiting = last === undefined ? [] : keysWaitedFor(last);
  const gone: KeyId[] = [];
  const pending: KeyId[] = [];
  const ended: ReplacedKey[] = [];
  const originals = waiting.filter(({ original }) => original !== undefined);
  const assertOwn = () =>
    last === undefined ? Promise.resolve() : assertRightKms(own, last.newKmsKey);
  await assertOwn();
  // All of them are looked at before one is ended.
  const keysOf = new Map<ReplacedKey, OriginalKeys>();
  for (const one of originals) {
    const keys = await findKeys({ kms, own }, one, last!.newKmsKey);
    await assertNotServing('the original', keys.all);
    keysOf.set(one, keys);
  }
  // An original may itself have been made of another one.
  const known = new Set(originals.map(({ oldKmsKey }) => oldKmsKey));
  const copies = [...keysOf.values()].flatMap(({ made }) => made);
  const others = copies.filter(({ key }) => !known.has(key));
  if (others.length > 0 && !evenCopies) throw thereAreCopies(others);
  for (const [one, { all: keys }] of keysOf) {
    for (const { kms: its, key } of keys) await its.destroyKey(key);
    const states = await Promise.all(keys.map(({ kms: its, key }) => its.describeKey(key)));
    for (const [i, { key }] of keys.entries()) (states[i] === 'gone' ? gone : pending).push(key);
    if (states.every((state) => state === 'gone')) ended.push(one);
  }
  // A turn there, or a restore of it, may have made one since. What makes one opens the root
  // afterwards, with a key that is ended by now: none comes later.
  const seen = new Set([...keysOf.values()].flatMap(({ all }) => all.map(({ key }) => key)));
  for (const one of originals) {
    const { all } = await findKeys({ kms, own }, asEnding(one), last!.newKmsKey);
    const made = all.filter(({ key }) => !seen.has(key));
    if (made.length > 0) throw madeMeanwhile(made);
  }
  if (last === undefined || gone.length + pending.length === 0) return { gone, pending };
  await assertOwn();
  const left = withoutKeys(last, ended, nowMs);
  const marked = { ...left, ...asEnding(left), waiting: left.waiting?.map(asEnding) ?? [] };
  if (!(await turns.write(marked, last))) throw contended();
  return { gone, pending };
}

interface OriginalKeys {
  /** Of what else was made of it. */
  readonly made: readonly KeyAt[];
  /** Those first: what is left of the original leads to them, if this ends in between. */
  readonly all: readonly KeyAt[];
}

async function findKeys(
  { kms, own }: { readonly kms: RootKms; readonly own: RootKms },
  one: ReplacedKey,
  rootKey: KeyId,
): Promise<OriginalKeys> {
  const keys = await keysOfOriginal(kms, one, rootKey);
  const made = await keysOfWhatElse([kms, own], one, rootKey);
  return { made, all: [...made, ...keys.map((key) => ({ kms, key }))] };
}

/** With the mark that the end of its original has begun. */
function asEnding(one: ReplacedKey): ReplacedKey {
  return one.original === undefined
    ? one
    : { ...one, original: { ...one.original, isEnding: true } };
}

function madeMeanwhile(made: readonly KeyAt[]): LetheError {
  const text =
    `keys were made there meanwhile: ${made.map(({ key }) => key).join(', ')}. Somebody turns or ` +
    'restores the original: T1 waits. Stop that, and run this again';
  return new LetheError('CONTENDED', text);
}

/**
 * Ends the keys of every store that was restored or copied from this one, and from those. Throws
 * CONFIGURATION_INVALID: a process serves with one of them, and none was ended.
 */
export async function endCopies({
  store,
  kms,
}: Pick<TurnContext, 'store' | 'kms'>): Promise<EndedKeys> {
  const root = await rootKmsKey(store);
  await assertRightKms(kms, root);
  const keys = await keysOfOwnCopies(kms, root);
  await assertNotServing(
    'a store made of this one',
    keys.map((key) => ({ kms, key })),
  );
  const gone: KeyId[] = [];
  const pending: KeyId[] = [];
  for (const key of keys) {
    await kms.destroyKey(key);
    ((await kms.describeKey(key)) === 'gone' ? gone : pending).push(key);
  }
  await assertRightKms(kms, root);
  return { gone, pending };
}

/** Whoever runs a restore drill must not end what it came from. Throws CONFIGURATION_INVALID. */
async function assertNotServing(who: string, keys: readonly KeyAt[]): Promise<void> {
  const served = await Promise.all(keys.map(({ kms, key }) => kms.isServed(key)));
  const found = keys.find((_, i) => served[i]);
  if (found === undefined) return;
  const text = `${who} serves with the key ${found.key}: nothing was ended. After a restore drill`;
  throw new LetheError(
    'CONFIGURATION_INVALID',
    `${text} leave it; else stop its services first, and wait a minute if they were killed`,
  );
}

/**
 * Keys of whatever else was restored or copied from an original, and from that: an earlier restore
 * that was given up, a drill, a copy that was refused.
 */
async function keysOfWhatElse(
  services: readonly RootKms[],
  { original }: ReplacedKey,
  own: KeyId,
): Promise<KeyAt[]> {
  const of = original?.store ?? null;
  if (of === null) return [];
  const found = new Map<KeyId, KeyAt>();
  for (const kms of services) {
    const keys = await keysOfCopies(kms, of, await kms.storeOf(own));
    for (const key of keys) found.set(key, { kms, key });
  }
  return [...found.values()];
}

function thereAreCopies(copies: readonly KeyAt[]): LetheError {
  const keys = copies.map(({ key }) => key).join(', ');
  const text =
    `other stores were made of the original, and their copies open too: keys ${keys}. Nothing ` +
    'was ended. If nobody needs them (drills, restores that were given up), add --copies';
  return new LetheError('CONFIGURATION_INVALID', text);
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
