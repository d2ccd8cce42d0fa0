/** What every part of the vault works with: rows, the keys above them, the feed of losses. */
import type { Randomness } from '../../base/random.ts';
import type { LossFeed } from '../feed/feed-wait.ts';
import type { KeyLease } from '../feed/key-lease.ts';
import type { VaultStore } from '../rows/vault-store.ts';
import type { AppRegistry } from './app-registry.ts';
import type { KeyHierarchy } from './key-hierarchy.ts';

/** One opened vault, as this process holds it. */
export interface VaultContext {
  readonly store: VaultStore;
  readonly hierarchy: KeyHierarchy;
  readonly apps: AppRegistry;
  readonly randomness: Randomness;
  readonly lease: KeyLease;
  readonly lossFeed: LossFeed;
}
