/**
 * Losses that are durable in a row of the vault and not known to be on the feed. Whoever took
 * something away and came no further than the row has told nobody: whoever sees such a row first
 * enters the loss, so that other holders drop what they still have.
 */

import type { VaultRow, VaultStore } from '../rows/vault-store.ts';
import type { LossFeed } from './feed-wait.ts';

/** What entering takes: the feed, and the rows that owe it something. */
export interface OwedEntries {
  readonly store: Pick<VaultStore, 'entered'>;
  readonly lossFeed: Pick<LossFeed, 'enter'>;
}

/** Enters what these rows owe, durably. Two who do so at once enter it twice: no harm. */
export async function enterOwed(
  { store, lossFeed }: OwedEntries,
  rows: readonly (VaultRow | undefined)[],
): Promise<void> {
  for (const row of rows) {
    if (row === undefined || row.owed === null) continue;
    await lossFeed.enter([row], row.owed);
    await store.entered([row], row.owed);
  }
}
