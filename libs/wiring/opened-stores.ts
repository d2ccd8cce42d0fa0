/** What the opened engines give: the stores of each part, and how to close them. */
import type { AccessKeyStore } from '../access/access-key-store.ts';
import type { DeliveryStore } from '../deliveries/delivery-store.ts';
import type { ClockMark } from '../event-log/clock-mark.ts';
import type { EventLog } from '../event-log/event-log.ts';
import type { RequestTable } from '../requests/request-table.ts';
import type { VaultCopy } from '../vault/copy/vault-copy.ts';
import type { FeedStore } from '../vault/feed/feed-store.ts';
import type { VaultStore } from '../vault/rows/vault-store.ts';
import type { TurnTable } from '../vault/turn/turn-table.ts';
import type { ViewStore } from '../views/view-store.ts';

interface Closable {
  close(): Promise<void>;
}

/** What an erasure rests on. */
interface Durable extends Closable {
  /** By which settings of servers a write that was answered can be lost, in words. */
  unsafeSettings?(): Promise<readonly string[]>;
}

/** A user is a part of the process that must not wait for another's transactions. */
export interface LogStores extends Closable {
  log(user?: string): EventLog;
}

export interface ViewStores extends Closable {
  views(user?: string): ViewStore;
}

/** What the state holds. */
export interface StateStores extends Durable {
  readonly deliveries: DeliveryStore;
  readonly requests: RequestTable;
  readonly clockMark: ClockMark;
  readonly accessKeys: AccessKeyStore;
}

export interface VaultStores extends Durable {
  readonly store: VaultStore;
  readonly feed: FeedStore;
  readonly turns: TurnTable;
  readonly copy: VaultCopy;
}
