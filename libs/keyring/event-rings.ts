/** The three rings of each of many events: all loaded at once, then found again event by event. */
import { type EventRings, eventRingRefs, type KeyedHeader } from './event-sealer.ts';
import type { KeyringUse, RingOutcome } from './keyring.ts';
import { collectRefs, Ring, type RingRef, ringRefToKey } from './ring.ts';

/** What the rings of one event turned out to be. */
export interface FoundRings {
  readonly outcomes: readonly { readonly ref: RingRef; readonly outcome: RingOutcome }[];
  /** All three; undefined where one is erased or absent. */
  readonly whole: EventRings | undefined;
}

/** Loads the rings of these events and runs `work`, under the rules of `KeyringUse.use`. */
export function useEventRings<Result>(
  keyring: KeyringUse,
  headers: readonly KeyedHeader[],
  work: (ringsOf: (header: KeyedHeader) => FoundRings, loaded: Ring[]) => Promise<Result>,
): Promise<Result> {
  const refs = collectRefs(headers.flatMap(eventRingRefs));
  return keyring.use([...refs.values()], (all) => {
    const rings = new Map([...refs.keys()].map((key, i) => [key, all[i]!]));
    const ringsOf = (header: KeyedHeader): FoundRings => {
      const outcomes = eventRingRefs(header).map((ref) => {
        return { ref, outcome: rings.get(ringRefToKey(ref))! };
      });
      const [app, owner, place] = outcomes.map(({ outcome }) => outcome);
      const isWhole = app instanceof Ring && owner instanceof Ring && place instanceof Ring;
      return { outcomes, whole: isWhole ? { app, owner, place } : undefined };
    };
    return work(
      ringsOf,
      all.filter((outcome) => outcome instanceof Ring),
    );
  });
}
