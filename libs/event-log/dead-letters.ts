/**
 * Port: references to records of the log that the projector cannot read. They name a place and a
 * reason and hold nothing of the record, so that nothing has to be erased from them.
 *
 * Failures of every method: LOG_UNREACHABLE (retryable), STORE_FULL.
 */

/** A record that cannot be read, by reference and reason. */
export interface DeadLetter {
  readonly partition: number;
  readonly offset: number;
  /** The code of the error it was met with. */
  readonly reason: string;
}

export interface DeadLetters {
  /** Keeps references, durably and one for each place. */
  keep(letters: readonly DeadLetter[]): Promise<void>;
  /** All that are kept, by partition and offset. */
  list(): Promise<DeadLetter[]>;
  /** Takes references out: what lay there was removed, or can be read now. */
  drop(places: readonly Omit<DeadLetter, 'reason'>[]): Promise<void>;
}
