/**
 * How far the turn under way has come, and how the last one ended. The record carries a code under
 * a key of the store: who can write the vault's tables, but has no key, has no T1 told. It names
 * the KMS key at the root: an older record, written back, names another. Where it is damaged its
 * spare counts, which is at most one write older. Where both are, or none is there, no
 * turn is made and no T1 told until a backup is restored.
 *
 * Failures of every method: those of TurnTable and StoreMac; VAULT_TAMPERED.
 */
import type { AppId, KeyId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { contended } from '../../base/retry.ts';
import { labels } from '../../codec/labels.ts';
import { isSameMac, type StoreMac } from '../../keyring/store-mac.ts';
import type { RowKey } from '../rows/vault-store.ts';
import type { TurnRow, TurnTable } from './turn-table.ts';

/** The steps of a turn, in their order. */
export const turnSteps = ['begun', 'apps', 'retired', 'tested', 'done'] as const;
export type TurnStep = (typeof turnSteps)[number];

/** A KMS key that a turn replaced, or a restore, or a copy to other engines. */
export interface ReplacedKey {
  readonly oldKmsKey: KeyId;
  /** Turns are numbered as they begin: a loss is covered by those that began after it. */
  readonly number: number;
  /** Apps that kept their keys in that turn: it covers nothing of them. */
  readonly failedApps: readonly AppId[];
  /**
   * The store that the key was made for, when that is another one: this store was restored or
   * copied from it. Only who knows that the original has ended may end its keys.
   */
  readonly original?: Original;
}

/** A row that does not authenticate, by its name. */
export type DamagedRow = Pick<RowKey, 'app' | 'kind' | 'id'>;

/** The store that another one came from. */
export interface Original {
  /** Its random id; null: it was made before stores had one. */
  readonly store: string | null;
  /** Its KMS has been seen with its keys, and has been told to end them. */
  readonly isEnding: boolean;
}

/** The record of one turn. */
export interface Turn extends ReplacedKey {
  readonly id: string;
  readonly step: TurnStep;
  readonly newKmsKey: KeyId;
  /** For people: no clock decides what a turn covers. */
  readonly startedAtMs: number;
  /** Who runs it, and when they last said so: one process at a time. */
  readonly runner: string;
  readonly aliveAtMs: number;
  /** When the old KMS key was gone; null: not yet. */
  readonly t1AtMs: number | null;
  /** Keys that were replaced before and that a KMS has still, oldest first. */
  readonly waiting?: readonly ReplacedKey[];
  /** The store was copied to other engines: nothing opens it any more. */
  readonly isClosed?: true;
  readonly buckets: number;
  readonly rows: number;
  /** Rows that do not authenticate: they stay as they are, and delay nobody else. */
  readonly damaged?: readonly DamagedRow[];
}

/** Keeps the newest turn, written by compare-and-set. */
export interface TurnStore {
  /** The newest turn, finished or not; undefined: there was none yet. */
  read(): Promise<Turn | undefined>;
  /** Records a turn, durably. False: `before` is not what is recorded any more. */
  write(turn: Turn, before: Turn | undefined): Promise<boolean>;
  /** Records of a store that has just been made that there was no turn yet. */
  begin(): Promise<void>;
  /** Records of a copy that nobody has opened yet what it came from, whatever is there. */
  beginCopy(copied: Turn): Promise<void>;
  /** Signs anew what carries the code of another store, which this one was restored from. */
  takeOver(from: StoreMac): Promise<void>;
}

/** The record of a store that had no turn yet. */
interface NoTurn {
  readonly firstKmsKey: KeyId;
}

/** Opens the record; `rootKey` gives the KMS key at the root of the vault. */
export function createTurnStore(
  table: TurnTable,
  mac: StoreMac,
  rootKey: () => Promise<KeyId>,
): TurnStore {
  const codeOf = (text: string, by = mac) => by.mac(labels.turn, [text]);

  async function sign(turn: Turn | NoTurn): Promise<TurnRow> {
    const text = JSON.stringify(turn);
    return { text, code: await codeOf(text) };
  }

  /** What a row says, if it is ours and of now; `by`: whose code it is to carry. */
  async function readOwn(row: TurnRow | undefined, by = mac): Promise<Turn | NoTurn | undefined> {
    if (row === undefined || row.text === null || row.code === null) return undefined;
    if (!isSameMac(row.code, await codeOf(row.text, by))) return undefined;
    const record = JSON.parse(row.text) as Turn | NoTurn;
    return keysAtRoot(record).includes(await rootKey()) ? record : undefined;
  }

  /** The record, or its spare, which is put in its place. */
  async function load(): Promise<{ row: TurnRow; record: Turn | NoTurn }> {
    const found = await table.read();
    const own = await readOwn(found);
    if (own !== undefined) return { row: found!, record: own };
    const spare = await table.readSpare();
    const record = await readOwn(spare);
    if (record === undefined) throw damaged();
    if (!(await table.replace(found, spare!))) return load();
    return { row: spare!, record };
  }

  return {
    async read() {
      const { record } = await load();
      return 'firstKmsKey' in record ? undefined : record;
    },
    async write(turn, before) {
      const { row, record } = await load();
      const isBefore =
        before === undefined ? 'firstKmsKey' in record : row.text === JSON.stringify(before);
      if (!isBefore) return false;
      const next = await sign(turn);
      if (!(await table.replace(row, next))) return false;
      await table.writeSpare(next);
      return true;
    },
    async begin() {
      const first = await sign({ firstKmsKey: await rootKey() });
      if (await table.replace(undefined, first)) await table.writeSpare(first);
    },
    async beginCopy(copied) {
      const first = await sign(copied);
      if (!(await table.replace(await table.read(), first))) throw contended();
      await table.writeSpare(first);
    },
    async takeOver(from) {
      const there = await table.read();
      const record = (await readOwn(there, from)) ?? (await readOwn(await table.readSpare(), from));
      if (record === undefined) throw damaged();
      const next = await sign(record);
      if (!(await table.replace(there, next))) throw contended();
      await table.writeSpare(next);
    },
  };
}

/** Which KMS keys can be at the root while this is the record: a turn replaces the key. */
function keysAtRoot(record: Turn | NoTurn): readonly KeyId[] {
  if ('firstKmsKey' in record) return [record.firstKmsKey];
  const { step, oldKmsKey, newKmsKey, original } = record;
  // A restored store writes its record before its root is under its own key.
  const isReplacing = step !== 'done' || original !== undefined;
  return isReplacing ? [oldKmsKey, newKmsKey] : [newKmsKey];
}

/** Is this the record of a store that was closed? It is read before there is a key to check it. */
export function saysClosed(row: TurnRow | undefined): boolean {
  try {
    return (JSON.parse(row?.text ?? 'null') as Turn | null)?.isClosed === true;
  } catch {
    return false;
  }
}

function damaged(): LetheError {
  const text = 'the record of turns (vault_turn) is gone, or was changed from outside: no T1 is';
  return new LetheError('VAULT_TAMPERED', `${text} told without it. Restore the newest backup`);
}
