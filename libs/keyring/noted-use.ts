/**
 * What an answer was made of: which rings, and which events were opened with them. Whoever writes
 * the answer looks at the rings once more, after everything that was unsealed has been put
 * together. Whoever carries it keeps the events until the client has them.
 */
import type { EventSealer, KeyedHeader } from './event-sealer.ts';
import type { KeyringUse } from './keyring.ts';
import { Ring } from './ring.ts';

/** A keyring and a sealer for one answer. */
export interface NotedUse {
  readonly keyring: KeyringUse;
  readonly sealer: EventSealer;
  /** Every ring that was used through them. */
  usedRings(): Ring[];
  /** Of every event that was opened through them, or was noted, what its key is made of. */
  openedEvents(): KeyedHeader[];
  /** Notes events whose content the answer repeats, without having opened them. */
  note(headers: readonly KeyedHeader[]): void;
  /** Those that were only noted. */
  repeatedEvents(): readonly KeyedHeader[];
}

/** The same keyring and sealer, with a note of what is done through them. */
export function noteUse(given: {
  readonly keyring: KeyringUse;
  readonly sealer: EventSealer;
}): NotedUse {
  const { keyring, sealer } = given;
  const rings = new Set<Ring>();
  const events: KeyedHeader[] = [];
  const repeated: KeyedHeader[] = [];
  return {
    keyring: {
      ...keyring,
      use: (refs, work) =>
        keyring.use(refs, (outcomes) => {
          for (const outcome of outcomes) if (outcome instanceof Ring) rings.add(outcome);
          return work(outcomes);
        }),
    },
    sealer: {
      ...sealer,
      open(event, own) {
        const content = sealer.open(event, own);
        if (content !== 'forgotten') events.push(keyedPart(event.header));
        return content;
      },
    },
    usedRings: () => [...rings],
    openedEvents: () => events,
    note(headers) {
      const kept = headers.map(keyedPart);
      events.push(...kept);
      repeated.push(...kept);
    },
    repeatedEvents: () => repeated,
  };
}

/** The few fields that are kept: a page is kept a hundred times as long as it takes to write. */
function keyedPart(header: KeyedHeader): KeyedHeader {
  const { app, owner, place, thing, eventId, retentionClass, occurredAt, cipher } = header;
  return { app, owner, place, thing, eventId, retentionClass, occurredAt, cipher };
}
