/**
 * Port: the power to hold people's rings, and to tie them together. Privacy alone receives it.
 *
 * Failures of every method: LEASE_LOST, VAULT_UNREACHABLE (both retryable), VAULT_TAMPERED.
 */
import type { AppId, HoldId, LossId, OwnerId, SubjectId } from '../base/ids.ts';

/** Legal holds and merges: they change ring rows, so that they and an erasure cannot both win. */
export interface KeyringHold {
  /**
   * Puts a hold on a person, and on whom they were merged with, durably. Nothing of theirs can be
   * shred from then on; what is under way may still take something that is not their own ring.
   */
  hold(app: AppId, subject: SubjectId, hold: HoldId): Promise<'held' | 'erased' | 'absent'>;
  /** Takes a hold away, with the app parts that only it kept. */
  release(app: AppId, subject: SubjectId, hold: HoldId): Promise<void>;
  /** Has a person, or whom they were merged with, the mark of a hold? */
  hasMark(app: AppId, subject: SubjectId, hold: HoldId): Promise<boolean>;
  /** Everybody in the app on whom there is a hold. */
  heldSubjects(app: AppId): Promise<SubjectId[]>;
  /** Of these owners, those on whom there is a hold: as of this call. */
  areHeld(app: AppId, owners: readonly OwnerId[]): Promise<boolean[]>;
  /** Before the app loses days, a held person's ring receives what opens their own of them. */
  keepDays(app: AppId, subject: SubjectId, days: { fromDay: number; toDay: number }): Promise<void>;
  /**
   * Ties the ring of a person to that of whom they turned out to be: whoever erases or holds one
   * does so to both. `erased`: the other was erased first, and this one is now, by `by`. Holds are
   * shared. `absent`: one of them never was, and nothing changed.
   */
  merge(
    app: AppId,
    pair: { readonly discarded: SubjectId; readonly survivor: SubjectId },
    by: LossId,
  ): Promise<'merged' | 'erased' | 'absent'>;
  /** Whom a person was merged with, themselves included, through any number of merges. */
  mergedWith(app: AppId, subject: SubjectId): Promise<SubjectId[]>;
}
