/** The time as it is, or as it will be. */
import type { Clock } from '../../libs/base/clock.ts';
import { DAY_MS } from '../../libs/base/day.ts';

/** A clock that tests move ahead by days. */
export class MovedClock implements Pick<Clock, 'nowMs'> {
  #aheadMs = 0;
  nowMs(): number {
    return Date.now() + this.#aheadMs;
  }
  move(days: number): void {
    this.#aheadMs += days * DAY_MS;
  }
}
