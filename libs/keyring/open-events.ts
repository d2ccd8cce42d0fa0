/**
 * Opens sealed events for handing on, with all rings at once. After the unsealing it looks at lease
 * and losses once more: nothing leaves here under a ring that was taken away meanwhile.
 */
import { LetheError } from '../base/lethe-error.ts';
import type { SealedEvent } from '../codec/sealed-event.ts';
import {
  type EventSealer,
  eventRingRefs,
  isKeyForgotten,
  type KeyedHeader,
} from './event-sealer.ts';
import type { KeyringUse } from './keyring.ts';
import { collectRefs, Ring, ringRefToKey } from './ring.ts';

const ATTEMPTS_MAX = 5;

/**
 * The content of each event in its order; undefined where it is erased or forgotten. Throws
 * EVENT_TAMPERED when a tag does not verify, FORMAT_UNKNOWN for a cipher of a newer version.
 */
export async function openEvents(
  { keyring, sealer }: { readonly keyring: KeyringUse; readonly sealer: EventSealer },
  events: readonly SealedEvent[],
): Promise<(Buffer | undefined)[]> {
  const refs = collectRefs(events.flatMap(({ header }) => eventRingRefs(header)));
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const contents = await keyring.use([...refs.values()], async (outcomes) => {
      const rings = new Map([...refs.keys()].map((key, i) => [key, outcomes[i]!]));
      const opened = events.map((event) => openEvent(sealer, event, rings));
      const used = outcomes.filter((outcome) => outcome instanceof Ring);
      const revoked = await keyring.revoked(used, 'known');
      if (revoked.length === 0) return opened;
      for (const content of opened) content?.fill(0);
      return undefined;
    });
    if (contents !== undefined) return contents;
  }
  throw new LetheError('CONTENDED', 'rings change too fast: try again', { retryable: true });
}

function openEvent(
  sealer: EventSealer,
  event: SealedEvent,
  rings: ReadonlyMap<string, Ring | 'erased' | 'absent'>,
): Buffer | undefined {
  const outcomes = eventRingRefs(event.header).map((ref) => rings.get(ringRefToKey(ref)));
  const [app, owner, place] = outcomes;
  if (outcomes.includes('absent')) {
    // A ring is durable before the first event that uses it, and a fence is never taken back.
    throw new LetheError('EVENT_TAMPERED', 'a ring that sealed an event is missing from the vault');
  }
  if (!(app instanceof Ring && owner instanceof Ring && place instanceof Ring)) return undefined;
  const content = sealer.open(event, { app, owner, place });
  return content === 'forgotten' ? undefined : content;
}

/** Can every one of these events still be opened, by what the vault has of them now? */
export async function allOpenStill(
  keyring: KeyringUse,
  events: readonly KeyedHeader[],
): Promise<boolean> {
  const refs = collectRefs(events.flatMap(eventRingRefs));
  return keyring.use([...refs.values()], async (outcomes) => {
    const rings = new Map([...refs.keys()].map((key, i) => [key, outcomes[i]!]));
    return events.every((event) => {
      const own = eventRingRefs(event).map((ref) => rings.get(ringRefToKey(ref)));
      const [app, owner, place] = own;
      if (!(app instanceof Ring && owner instanceof Ring && place instanceof Ring)) return false;
      return !isKeyForgotten(event, { app, owner, place });
    });
  });
}
