/**
 * Opens sealed events for handing on, with all rings at once. After the unsealing it looks at lease
 * and losses once more: nothing leaves here under a ring that was taken away meanwhile.
 */
import { LetheError } from '../base/lethe-error.ts';
import { decodeSealedEvent, type EventHeader, type SealedEvent } from '../codec/sealed-event.ts';
import { type FoundRings, useEventRings } from './event-rings.ts';
import { type EventSealer, isKeyForgotten, type KeyedHeader } from './event-sealer.ts';
import type { KeyringUse } from './keyring.ts';

const ATTEMPTS_MAX = 5;

/**
 * The content of each event in its order; undefined where it is erased or forgotten. Throws
 * EVENT_TAMPERED when a tag does not verify, FORMAT_UNKNOWN for a cipher of a newer version.
 */
export async function openEvents(
  { keyring, sealer }: { readonly keyring: KeyringUse; readonly sealer: EventSealer },
  events: readonly SealedEvent[],
): Promise<(Buffer | undefined)[]> {
  const headers = events.map(({ header }) => header);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const contents = await useEventRings(keyring, headers, async (ringsOf, loaded) => {
      const opened = events.map((event) => openEvent(sealer, event, ringsOf(event.header)));
      const revoked = await keyring.revoked(loaded, 'known');
      if (revoked.length === 0) return opened;
      for (const content of opened) content?.fill(0);
      return undefined;
    });
    if (contents !== undefined) return contents;
  }
  throw new LetheError('CONTENDED', 'rings change too fast: try again', { retryable: true });
}

const HEADERS_AT_ONCE = 500;

/**
 * The headers of sealed records, in their order, none of them changed since it was sealed. Of what
 * is erased or forgotten nothing can be told any more: its header comes as it is. Throws
 * EVENT_TAMPERED, as `openEvents` does.
 */
export async function openHeaders(
  powers: Parameters<typeof openEvents>[0],
  records: readonly Buffer[],
): Promise<EventHeader[]> {
  const headers: EventHeader[] = [];
  for (let at = 0; at < records.length; at += HEADERS_AT_ONCE) {
    const events = records.slice(at, at + HEADERS_AT_ONCE).map(decodeSealedEvent);
    for (const content of await openEvents(powers, events)) content?.fill(0);
    headers.push(...events.map(({ header }) => header));
  }
  return headers;
}

function openEvent(
  sealer: EventSealer,
  event: SealedEvent,
  { outcomes, whole }: FoundRings,
): Buffer | undefined {
  if (outcomes.some(({ outcome }) => outcome === 'absent')) {
    // A ring is durable before the first event that uses it, and a fence is never taken back.
    throw new LetheError('EVENT_TAMPERED', 'a ring that sealed an event is missing from the vault');
  }
  if (whole === undefined) return undefined;
  const content = sealer.open(event, whole);
  return content === 'forgotten' ? undefined : content;
}

/** Can every one of these events still be opened, by what the vault has of them now? */
export function allOpenStill(
  keyring: KeyringUse,
  events: readonly KeyedHeader[],
): Promise<boolean> {
  return useEventRings(keyring, events, async (ringsOf) =>
    events.every((event) => {
      const { whole } = ringsOf(event);
      return whole !== undefined && !isKeyForgotten(event, whole);
    }),
  );
}
