/**
 * What the delivery ledger knows of a batch: answered at once, or claimed by a writer whose events
 * are not on the log yet. Such a writer is waited for; when it seems to have died, its delivery is
 * taken in once more, as the same event.
 */
import type { KnownDelivery } from '../../../libs/deliveries/delivery-ledger.ts';
import { areGone } from '../plan/delivery-check.ts';
import type { Outcome } from '../plan/ingest-item.ts';
import type { AcceptContext, PendingItem } from '../plan/pending-item.ts';
import { ID_TAKEN } from '../plan/refusals.ts';

// How long another writer may take from its claim in the ledger to its events on the log.
const CLAIM_MS = 1_500;

/**
 * Answers deliveries that the ledger knows. The others are `fresh`, or `claimed` by another writer
 * who is still on the way, and looked at again.
 */
export async function answerKnown(
  pending: readonly PendingItem[],
  outcomes: (Outcome | undefined)[],
  { powers, resolver }: AcceptContext,
): Promise<{ fresh: PendingItem[]; claimed: PendingItem[] }> {
  const asked = pending.filter((one) => one.named !== undefined && one.known === undefined);
  const found = await powers.ledger.find(
    resolver.app.id,
    asked.map((one) => one.named!.row),
  );
  const known = asked.flatMap((one, i) => (found[i] ? [{ one, ...found[i] }] : []));
  if (known.length === 0) return { fresh: [...pending], claimed: [] };
  // A removal that waits is looked at once more: its message may be there now.
  for (const { one, ...waiting } of known.filter(isWaiting)) resume(one, waiting);
  const kept = known.filter((found) => !isWaiting(found));
  const gone = await areGone(
    powers,
    resolver.app,
    kept.map(({ entry }) => entry),
  );
  const claimed: PendingItem[] = [];
  for (const [i, { one, entry, row, isSettled }] of kept.entries()) {
    // A removal that was carried out is a duplicate, though what it removed is gone.
    const isRemoval = one.item.kind === 'delivery' && one.item.delivery.body.kind === 'removed';
    const isErased = !isRemoval && gone[i]!;
    const { said } = one.named!;
    // Of what is gone nobody is told whether they have guessed whose it was.
    if (!isErased && said !== null && entry.said !== null && said !== entry.said) {
      outcomes[one.index] = ID_TAKEN;
      continue;
    }
    if (!isErased && !isSettled) {
      one.claimedSeenMs ??= powers.clock.monotonicMs();
      // Whoever claimed it has died, most likely, before its events were on the log.
      const isLeft = powers.clock.monotonicMs() - one.claimedSeenMs > CLAIM_MS;
      if (isLeft) resume(one, { row, entry, isSettled });
      else claimed.push(one);
      continue;
    }
    outcomes[one.index] = isErased
      ? { status: 'erased' }
      : { status: 'duplicate', eventId: entry.eventId };
  }
  const isFresh = (one: PendingItem) => outcomes[one.index] === undefined && !claimed.includes(one);
  return { fresh: pending.filter(isFresh), claimed };
}

function isWaiting({ entry }: KnownDelivery): boolean {
  return entry.state === 'waiting';
}

/** Takes a delivery in once more: the same event, the same recordedAt, a higher attempt. */
function resume(one: PendingItem, known: KnownDelivery): void {
  one.known = known;
  one.memory.attempt = known.entry.attempt + 1;
  one.memory.recordedAt[0] = known.entry.recordedAt;
}
