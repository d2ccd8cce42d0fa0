/**
 * What one engine can hold. An engine is a file beside this one, a line in `open-engines.ts`, and a
 * folder in each room whose port it adapts; another is added without touching those that are there.
 */
import type { WakeSignal } from '../../event-log/wake-signal.ts';
import type { Connections } from '../connections.ts';
import type { LogStores, StateStores, VaultStores, ViewStores } from '../opened-stores.ts';

/** What a process shares among the engines it opens. */
export interface EngineUse {
  readonly wake: WakeSignal;
  readonly connections: Connections;
}

/** Parts of a store, each on an engine of its own. */
export type StorePart = 'log' | 'vault' | 'state' | 'views';

/** What was done to one part. */
export interface Migrated {
  readonly engine: StorePart;
  readonly done: string;
}

/**
 * One engine. What it cannot hold is left out, and the configuration names it for nothing else.
 * Failures: CONFIGURATION_INVALID (not migrated), or the part's "unreachable".
 */
export interface Engine<Settings> {
  openLog?(settings: Settings, shared: EngineUse): Promise<LogStores>;
  openVault?(settings: Settings, shared: EngineUse): Promise<VaultStores>;
  openState?(settings: Settings, shared: EngineUse): Promise<StateStores>;
  openViews?(settings: Settings, shared: EngineUse): Promise<ViewStores>;
  /** Makes or upgrades what a part needs, in words; left out: it needs nothing. */
  migrate?(part: StorePart, settings: Settings): Promise<string>;
}
