/**
 * The key of the feed's codes. A holder needs it before it has a lease, and while it has lost it:
 * it is kept as long as the process runs, and opens nothing. Where its row is damaged another one
 * is made; then the roster is lost, and the next wait is as long as the longest lease.
 */
import { HmacKey } from '../../codec/hash.ts';
import type { FeedMac } from '../feed/signed-feed.ts';
import { numberedId } from '../rows/key-slots.ts';
import { rowKinds } from '../rows/vault-store.ts';
import type { KeyHierarchy } from './key-hierarchy.ts';

// Beside the key of the lists that decide, which has the id 1.
const FEED_KEY = numberedId(2);

/** Opens it; the hierarchy is asked for at the first use. */
export function createFeedMac(
  hierarchy: () => Pick<KeyHierarchy, 'replaceableKey' | 'replaceKey'>,
): FeedMac & { renew(): Promise<void> } {
  let current: { readonly id: string; readonly key: HmacKey } | undefined;

  async function load(): Promise<boolean> {
    const { wrapping, bytes } = await hierarchy().replaceableKey(rowKinds.accessKey, FEED_KEY);
    if (wrapping.id === current?.id) return false;
    current?.key.destroy();
    current = { id: wrapping.id, key: new HmacKey(bytes) };
    return true;
  }

  return {
    async code(label, fields) {
      if (current === undefined) await load();
      return current!.key.digestFields(label, fields).toString('hex');
    },
    reload: load,
    /** For a store that was restored: nobody else may have it open. */
    async renew() {
      await hierarchy().replaceKey(rowKinds.accessKey, FEED_KEY);
      await load();
    },
  };
}
