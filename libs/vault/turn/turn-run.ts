/** What a turn works with, and the record by which one process runs it. */

import type { Randomness } from '../../base/random.ts';
import { contended } from '../../base/retry.ts';
import type { LossFeed } from '../feed/feed-wait.ts';
import type { KeyLease } from '../feed/key-lease.ts';
import type { AppRegistry } from '../keys/app-registry.ts';
import type { KeyHierarchy } from '../keys/key-hierarchy.ts';
import type { RootKms } from '../keys/root-kms.ts';
import type { VaultStore } from '../rows/vault-store.ts';
import type { Turn, TurnStep, TurnStore } from './turn-store.ts';

export interface TurnDeps {
  readonly store: VaultStore;
  readonly turns: TurnStore;
  readonly hierarchy: KeyHierarchy;
  readonly apps: AppRegistry;
  readonly kms: RootKms;
  readonly lossFeed: LossFeed;
  readonly lease: KeyLease;
  readonly randomness: Randomness;
}

export interface TurnOptions {
  readonly nowMs: () => number;
  /** Makes and tests the turn's own backup; called before the old KMS key goes. */
  readonly testBackup?: () => Promise<void>;
  readonly onProgress?: (text: string) => void;
}

/** The turn under way, as this process runs it. */
export class TurnRun {
  readonly #deps: TurnDeps;
  readonly #options: TurnOptions;
  #written: Promise<unknown> = Promise.resolve();
  turn: Turn;

  constructor(deps: TurnDeps, options: TurnOptions, turn: Turn) {
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
