/** What is known of the epoch: what waits for the next turn, and what the KMS says of the last. */
import type { KeyId } from '../../base/ids.ts';
import type { KeyState } from '../keys/root-kms.ts';
import { STORE_ROOT } from '../rows/key-slots.ts';
import type { VaultStore } from '../rows/vault-store.ts';
import { keysWaitedFor } from './epoch-t1.ts';
import { keysOfOwnCopies } from './keys-of-copies.ts';
import type { TurnContext } from './turn-run.ts';
import type { Turn } from './turn-store.ts';

/** What an operator is told of the epoch. */
export interface EpochStatus {
  /** The KMS key at the root of the vault, and what the KMS says of it. */
  readonly kmsKey: KeyId;
  readonly kmsKeyState: KeyState;
  /** Buckets that lost something since their key was made: old copies still open it. */
  readonly dirtyBuckets: number;
  /** The newest turn, finished or not. */
  readonly lastTurn: Turn | null;
  /** What the KMS says of the key that turn replaced. */
  readonly oldKmsKeyState: KeyState | null;
  /** KMS keys that turns replaced and the KMS has still: T1 waits for them. */
  readonly keysWaitedFor: number;
  /** Of them those of the store that this one was restored or copied from. */
  readonly keysOfOriginals: readonly KeyId[];
  /** Keys of stores that were restored or copied from this one: T1 waits for them too. */
  readonly keysOfCopies: readonly KeyId[];
  /** Holders that have not acknowledged everything yet, by their random ids. */
  readonly holdersBehind: readonly string[];
}

/** The KMS key that wraps the root of the vault. */
export async function rootKmsKey(store: Pick<VaultStore, 'read'>): Promise<KeyId> {
  const [root] = await store.read([STORE_ROOT]);
  return root!.wrappingKey;
}

/** Notes that this process serves with the key at the root, or serves with it no more. */
export async function noteServing(
  { store, kms }: Pick<TurnContext, 'store' | 'kms'>,
  isServing: boolean,
): Promise<void> {
  await kms.noteServing(await rootKmsKey(store), isServing);
}

/** What the KMS says of the key at the root: without it no process starts any more. */
export async function readRootKeyState({
  store,
  kms,
}: Pick<TurnContext, 'store' | 'kms'>): Promise<KeyState> {
  return kms.describeKey(await rootKmsKey(store));
}

/** Buckets of living apps: of those that were erased nothing is wrapped anew. */
async function countDirty({ store, apps }: Pick<TurnContext, 'store' | 'apps'>): Promise<number> {
  const dirty = await store.dirtyBuckets();
  let count = 0;
  for (const { app } of dirty) {
    // One that is damaged is none that was erased.
    if (!(await apps.wasErased(app).catch(() => false))) count += 1;
  }
  return count;
}

/** Reads it. */
export async function readEpochStatus(
  deps: Pick<TurnContext, 'store' | 'turns' | 'kms' | 'lossFeed' | 'apps'>,
): Promise<EpochStatus> {
  const { store, turns, kms, lossFeed } = deps;
  const [root] = await store.read([STORE_ROOT]);
  const lastTurn = (await turns.read()) ?? null;
  const waiting = lastTurn === null ? [] : keysWaitedFor(lastTurn);
  const { number } = await lossFeed.head();
  const behind = (await lossFeed.holders()).filter((holder) => holder.acknowledged < number);
  return {
    kmsKey: root!.wrappingKey,
    kmsKeyState: await kms.describeKey(root!.wrappingKey),
    dirtyBuckets: await countDirty(deps),
    lastTurn,
    oldKmsKeyState: lastTurn && (await kms.describeKey(lastTurn.oldKmsKey)),
    keysWaitedFor: waiting.length,
    keysOfOriginals: waiting.flatMap((one) => (one.original ? one.oldKmsKey : [])),
    keysOfCopies: await keysOfOwnCopies(kms, root!.wrappingKey),
    holdersBehind: behind.map((holder) => holder.id),
  };
}
