/** A store that is copied to other engines, and its copy: one waits for the keys of the other. */
import { systemClock } from '../../base/clock.ts';
import type { KeyId } from '../../base/ids.ts';
import { isLetheError, LetheError } from '../../base/lethe-error.ts';
import { createSystemRandomness } from '../../base/random.ts';
import { contended } from '../../base/retry.ts';
import type { RootKms } from '../keys/root-kms.ts';
import { STORE_MAC_ROW } from '../keys/vault-store-mac.ts';
import type { VaultStore } from '../rows/vault-store.ts';
import { rootKmsKey } from '../turn/epoch-status.ts';
import { originTurn, withEnded } from '../turn/origin-turn.ts';
import type { Turn, TurnStore } from '../turn/turn-store.ts';
import type { TurnTable } from '../turn/turn-table.ts';

/** A vault's root and its record of turns. */
interface TurnedVault {
  readonly store: Pick<VaultStore, 'read'>;
  readonly turns: TurnStore;
}

/** The KMS keys of a copy. */
export interface KeysOfCopy {
  /** The KMS of its original. */
  readonly originals: RootKms;
  /** Keys of earlier runs, which were ended. */
  readonly ended: readonly KeyId[];
}

/**
 * Closes a copy before its vault is filled, also one that has ended before: one that is interrupted
 * is opened by nobody. Can be repeated. Throws CONTENDED, VAULT_UNREACHABLE. Throws INPUT_INVALID:
 * the vault is another store's, or the copy was turned since, and lives on its own.
 */
export async function markUnfinished(
  source: Pick<VaultStore, 'read'>,
  target: { readonly store: Pick<VaultStore, 'read'>; readonly turns: TurnTable },
): Promise<void> {
  const { store, turns } = target;
  const [[own], [there]] = [await source.read([STORE_MAC_ROW]), await store.read([STORE_MAC_ROW])];
  if (there !== undefined && there.ownKey !== own?.ownKey) {
    const text = 'the vault to copy into is another store’s: name an empty one';
    throw new LetheError('INPUT_INVALID', text);
  }
  const row = await turns.read();
  const before = JSON.parse(row?.text ?? '{}') as Partial<Turn>;
  if (before.isClosed) return;
  if (before.id !== undefined && before.original === undefined) {
    const text = 'the copy has had a turn since it was made, and lives on its own';
    throw new LetheError('INPUT_INVALID', `${text}: copy into an empty place`);
  }
  // Nothing signs it: the key for that lies in the vault that is to come.
  const closed = { text: JSON.stringify({ ...before, isClosed: true }), code: null };
  if (!(await turns.replace(row, closed))) throw contended();
}

/**
 * Notes in a copy which keys open its original, those that it waits for too: the copy tells no T1
 * while one of them is there, and is closed until `setClosed` opens it. Can be repeated, until the
 * copy was turned itself. Throws CONTENDED, and what the vaults and the KMS of the original throw.
 */
export async function noteOrigin(
  source: TurnedVault,
  target: TurnedVault,
  { originals: kms, ended }: KeysOfCopy,
): Promise<void> {
  const known = await readNoted(target.turns);
  if (known !== undefined && known !== 'outdated' && known.original === undefined) return;
  const [oldKmsKey, newKmsKey] = [await rootKmsKey(source.store), await rootKmsKey(target.store)];
  const original = { store: (await kms.storeOf(oldKmsKey)) ?? null, isEnding: false };
  const of = { last: await source.turns.read(), oldKmsKey, newKmsKey, original };
  const randomness = createSystemRandomness();
  const turn = originTurn({ randomness }, { ...of, nowMs: systemClock.nowMs() });
  const waiting = turn.waiting!.map((one) => ({ ...one, original: one.original ?? original }));
  // Until the copy has ended nobody opens it: what is erased at the original meanwhile is in it.
  const noted: Turn = { ...withEnded({ ...turn, waiting }, ended), isClosed: true };
  if (known === 'outdated') return target.turns.beginCopy(noted);
  if (!(await target.turns.write(noted, known))) throw contended();
}

/** `outdated`: by a run after which the original was turned, or by one that did not come so far. */
async function readNoted(turns: TurnStore): Promise<Turn | undefined | 'outdated'> {
  try {
    return await turns.read();
  } catch (error) {
    if (isLetheError(error, 'VAULT_TAMPERED')) return 'outdated';
    throw error;
  }
}

/**
 * Ends the keys that earlier runs of a copy have made and that are not at its root: older copies of
 * its vault may lie under them. Gives those keys.
 */
export async function endFormerKeys(
  target: { readonly store: Pick<VaultStore, 'read'> },
  kms: RootKms,
): Promise<KeyId[]> {
  const own = await rootKmsKey(target.store);
  // As the KMS says: what the vault says of its own id lies in clear.
  const store = await kms.storeOf(own);
  const made = store === undefined ? [] : await kms.keysOf(store);
  const former = made.filter((key) => key !== own);
  for (const key of former) await kms.destroyKey(key);
  return former;
}

/**
 * Closes a store that was copied, or opens it again. Nothing opens it while it is closed. Throws
 * CONTENDED, VAULT_UNREACHABLE.
 */
export async function setClosed(vault: TurnedVault, isClosed: boolean): Promise<void> {
  const { turns } = vault;
  const last = await turns.read();
  if ((last?.isClosed === true) === isClosed) return;
  const { isClosed: _, ...record } = last ?? (await neverTurned(vault));
  const next: Turn = isClosed ? { ...record, isClosed } : record;
  if (!(await turns.write(next, last))) throw contended();
}

/** The record of a store that was never turned: it has nothing to wait for. */
async function neverTurned(vault: TurnedVault): Promise<Turn> {
  const key = await rootKmsKey(vault.store);
  const nowMs = systemClock.nowMs();
  const of = { last: undefined, original: undefined, oldKmsKey: key, newKmsKey: key, nowMs };
  return { ...originTurn({ randomness: createSystemRandomness() }, of), t1AtMs: nowMs };
}
