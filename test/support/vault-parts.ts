/** The parts of a store's vault, as nobody outside of it sees them. */
import { systemHolderClocks } from '../../libs/base/clock.ts';
import { createSystemRandomness } from '../../libs/base/random.ts';
import { createLossFeed } from '../../libs/vault/feed/feed-wait.ts';
import { openKeyLease } from '../../libs/vault/feed/key-lease.ts';
import { createSignedFeed, type SignedFeed } from '../../libs/vault/feed/signed-feed.ts';
import { createFeedMac } from '../../libs/vault/keys/feed-key.ts';
import { createKeyHierarchy } from '../../libs/vault/keys/key-hierarchy.ts';
import { openRootKms } from '../../libs/wiring/open-root-kms.ts';
import type { TestStore } from './temporary-store.ts';

/** Opens them with the store's own KMS; an erase waits for the lease until it is closed. */
export async function openVaultParts({ backends, configuration }: TestStore) {
  const { store, feed: feedStore } = backends.engines.vault;
  const randomness = createSystemRandomness();
  const clocks = systemHolderClocks;
  const mac = createFeedMac(() => hierarchy);
  const feed: SignedFeed = createSignedFeed({ store: feedStore, mac, randomness });
  const lease = openKeyLease({ feed, clocks, randomness, leaseMs: configuration.leaseMs });
  const lossFeed = createLossFeed({ feed, clocks, randomness });
  const kms = await openRootKms(configuration);
  const hierarchy = createKeyHierarchy({ store, kms, randomness, lease, lossFeed });
  return { store, feed, lease, lossFeed, hierarchy, randomness };
}
