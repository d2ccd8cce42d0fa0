/** What a turn works with, and the record by which one process runs it. */

import type { AnyId, AppId } from '../../base/ids.ts';
import { LetheError } from '../../base/lethe-error.ts';
import { contended } from '../../base/retry.ts';
import type { WrappingKey } from '../../keyring/wrapping-key.ts';
import type { RootKms } from '../keys/root-kms.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import type { VaultRow } from '../rows/vault-store.ts';
import type { Turn, TurnStep, TurnStore } from './turn-store.ts';

/** The vault, its turns and its KMS. */
export interface TurnContext extends VaultContext {
  readonly turns: TurnStore;
  readonly kms: RootKms;
}

/**
 * A ring that lost something which a turn is to cover: its bucket gets a new key, also where the
 * vault's own marks were taken away.
 */
export interface LostRing {
  readonly app: AppId;
  readonly id: AnyId;
}

/**
 * What becomes of a row that a turn is about to wrap anew. `carry`: it is. `takeAgain`: it holds
 * what was taken before, which is to be taken once more. `remove`: it only names what was taken.
 * `leave`: it cannot be whole any more, and goes with the key that wraps it.
 */
export type Judgement = 'carry' | 'takeAgain' | 'remove' | 'leave';

/** Judges a row as it was read; `key` wraps it. */
export type RowJudge = (row: VaultRow, key: WrappingKey) => Promise<Judgement>;

/** What was taken before a turn, and who judges rows by that. */
export interface TakenBefore {
  readonly lost: readonly LostRing[];
  readonly judge: RowJudge;
}

/** How a turn is run. */
export interface TurnOptions {
  readonly nowMs: () => number;
  /** Makes and tests the turn's own backup; called before the old KMS key goes. */
  readonly testBackup?: () => Promise<void>;
  readonly onProgress?: (text: string) => void;
  /** Gives new keys to all, whether something was lost there or not. */
  readonly isWhole?: boolean;
  /** What it is to cover, asked for when it has begun; without it every row is carried over. */
  readonly findTaken?: () => Promise<TakenBefore>;
  /**
   * Takes away once more what was taken; afterwards rows are read anew. Gives the apps of which
   * something could not be taken: they fail, and no other does.
   */
  readonly takeAgain?: () => Promise<ReadonlySet<AppId>>;
}

const NOTHING_TAKEN: TakenBefore = { lost: [], judge: async () => 'carry' };

/** The turn under way, as this process runs it. */
export class TurnRun {
  readonly #deps: TurnContext;
  readonly #options: TurnOptions;
  #written: Promise<unknown> = Promise.resolve();
  #taken: Promise<TakenBefore> | undefined;
  turn: Turn;

  constructor(deps: TurnContext, options: TurnOptions, turn: Turn) {
    this.#deps = deps;
    this.#options = options;
    this.turn = turn;
  }

  get isWhole(): boolean {
    return this.#options.isWhole === true;
  }

  /** What this run is to cover: all that was taken before it began, and some of what came since. */
  taken(): Promise<TakenBefore> {
    this.#taken ??= this.#options.findTaken?.() ?? Promise.resolve(NOTHING_TAKEN);
    return this.#taken;
  }

  /** Judges a row that is about to be wrapped anew. */
  async judge(row: VaultRow, key: WrappingKey): Promise<Judgement> {
    const { judge } = await this.taken();
    return judge(row, key);
  }

  /** Takes away once more what was taken. Throws VAULT_TAMPERED: it cannot be, in this app. */
  async takeAgain(app: AppId): Promise<void> {
    const untaken = await this.#options.takeAgain?.();
    if (untaken?.has(app) !== true) return;
    const text = 'what was taken of it is there again, and cannot be taken once more';
    throw new LetheError('VAULT_TAMPERED', text);
  }

  async advance(step: TurnStep, more: Partial<Turn> = {}): Promise<void> {
    await this.#write({ ...more, step });
    this.report(`turn ${this.turn.id}: ${step}`);
  }

  /** Says that this process still runs it. Throws CONTENDED: another one has taken over. */
  async stillMine(): Promise<void> {
    await this.#write({});
  }

  /** One at a time: each is conditional on the one before. */
  #write(more: Partial<Turn>): Promise<void> {
    const write = this.#written.then(async () => {
      const next = { ...this.turn, ...more, aliveAtMs: this.#options.nowMs() };
      if (!(await this.#deps.turns.write(next, this.turn))) throw contended();
      this.turn = next;
    });
    this.#written = write.catch(() => undefined);
    return write;
  }

  report(text: string): void {
    this.#options.onProgress?.(text);
  }
}
