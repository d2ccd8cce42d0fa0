/** An item of a batch on its way from the door to the log. */

import type { EventId, IndexId } from '../../../libs/base/ids.ts';
import { randomUuidV7 } from '../../../libs/base/random.ts';
import type { KnownDelivery, SaidId } from '../../../libs/deliveries/delivery-ledger.ts';
import type { DurableClock } from '../../../libs/event-log/clock-mark.ts';
import type { IngestPowers } from '../../../libs/wiring/powers.ts';
import type { IngestItem, Plan } from './ingest-item.ts';
import type { Resolver } from './resolver.ts';
import type { SealedPlan, SealMemory } from './seal-plan.ts';

/** A delivery in the words of the ledger. */
export interface NamedDelivery {
  readonly row: IndexId;
  /** What it says it is. Null: a removal, which its name says wholly. */
  readonly said: SaidId | null;
  /** The message that it is about. */
  readonly target: IndexId | undefined;
  /** Of a message: the removals that take it as soon as it comes. */
  readonly removals: readonly IndexId[];
}

/** An item on its way, with what survives from one round to the next. */
export interface PendingItem {
  readonly index: number;
  readonly item: IngestItem;
  /** What the ledger calls the delivery; undefined for commands. */
  readonly named: NamedDelivery | undefined;
  /** The row that an earlier round of this batch wrote. */
  known: KnownDelivery | undefined;
  readonly memory: SealMemory;
  /** When another writer was first seen on its way with the same delivery. */
  claimedSeenMs?: number;
  plan?: Plan;
  sealed?: SealedPlan;
}

/** What the items of a batch share. */
export interface AcceptContext {
  readonly powers: IngestPowers;
  readonly resolver: Resolver;
  readonly clock: DurableClock;
}

/** A new event id for what has no source. */
export function newEventId({ powers }: AcceptContext): EventId {
  return randomUuidV7(powers.randomness, powers.clock.nowMs());
}
