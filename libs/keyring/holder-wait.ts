/**
 * Port: the wait for every process that holds keys, which ends in T0.
 *
 * Failures of every method: LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED.
 */

/** How one holder of keys was passed. */
export interface PassedHolder {
  readonly holder: string;
  /** Where it answers requests; null: nowhere, as a command does not. */
  readonly door: string | null;
  /** Its row names a door that no holder of keys has signed: nobody is asked there. */
  readonly isForged: boolean;
  /** `acknowledged`: it said so; `waited`: its lease ran out; `left`: it ended meanwhile. */
  readonly how: 'acknowledged' | 'waited' | 'left';
  readonly afterMs: number;
}

/** What is known when the wait for holders is over. */
export interface PassedHolders {
  readonly feedNumber: number;
  /** Wall time of T0, in milliseconds since 1970. */
  readonly t0Ms: number;
  readonly waitedMs: number;
  /**
   * The roster of holders had been lost, by damage or by who writes the vault's tables: the longest
   * lease was waited out, and holders that nobody knew were not asked.
   */
  readonly isRosterLost: boolean;
  readonly holders: readonly PassedHolder[];
}

/** Waits for holders of keys. */
export interface HolderWait {
  /**
   * Waits until no running process can use what was taken before this call: each holder has said
   * so, or its lease has run out. The moment it resolves is T0.
   */
  passHolders(): Promise<PassedHolders>;
  /** Drops from the feed what every holder has heard. */
  pruneFeed(): Promise<void>;
}
