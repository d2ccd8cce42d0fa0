/** What a turn works with, and the record by which one process runs it. */

import type { AnyId, AppId } from '../../base/ids.ts';
import { contended } from '../../base/retry.ts';
import type { RootKms } from '../keys/root-kms.ts';
import type { VaultContext } from '../keys/vault-context.ts';
import type { Turn, TurnStep, TurnStore } from './turn-store.ts';

/** The vault, its turns and its KMS. */
export interface TurnContext extends VaultContext {
  readonly turns: TurnStore;
  readonly kms: RootKms;
}

/**
 * A ring that lost something which a turn is to cover: its bucket gets a new key, also where the
 * vault's own marks were taken away. `isEnded`: it is a fence; a living one is not wrapped anew.
 */
export interface LostRing {
  readonly app: AppId;
  readonly id: AnyId;
  readonly isEnded: boolean;
}

/** How a turn is run. */
export interface TurnOptions {
  readonly nowMs: () => number;
  /** Makes and tests the turn's own backup; called before the old KMS key goes. */
  readonly testBackup?: () => Promise<void>;
  readonly onProgress?: (text: string) => void;
  readonly lost?: readonly LostRing[];
}

/** The turn under way, as this process runs it. */
export class TurnRun {
  readonly #deps: TurnContext;
  readonly #options: TurnOptions;
  #written: Promise<unknown> = Promise.resolve();
  turn: Turn;

  constructor(deps: TurnContext, options: TurnOptions, turn: Turn) {
    this.#deps = deps;
    this.#options = options;
    this.turn = turn;
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
