/**
 * Port: the record of turns as it is kept, and a spare of it. It lies in clear and says what T1 is:
 * it carries a code, which whoever reads it checks (turn-record.ts).
 *
 * Failures of every method: VAULT_UNREACHABLE (retryable), STORE_FULL.
 */

/** The record as text; null is what nobody with the key has written. */
export interface TurnRow {
  readonly text: string | null;
  readonly code: string | null;
}

/** Keeps it; every write is durable when its call resolves. */
export interface TurnTable {
  /** Undefined: nobody has written one. */
  read(): Promise<TurnRow | undefined>;
  /** Puts one in the place of the one that was read; false: it is not that one any more. */
  replace(read: TurnRow | undefined, next: TurnRow): Promise<boolean>;
  readSpare(): Promise<TurnRow | undefined>;
  /** Whoever is last has written it. */
  writeSpare(row: TurnRow): Promise<void>;
}
