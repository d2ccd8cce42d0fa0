/** Opens records of the views as the typed content of their events. */

import type { AppId } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import { decodeSealedEvent, type SealedEvent } from '../codec/sealed-event.ts';
import { contentCodecs, type EventContents, type EventType } from '../conversation/event-types.ts';
import type { Opened } from '../conversation/message-fold.ts';
import { openEvents } from '../keyring/open-events.ts';
import type { ReaderPowers } from '../wiring/powers.ts';

/** What a view's row says its record must be; a difference is `tampered`. */
export interface ExpectedHeader {
  readonly app: AppId;
  readonly stream?: string;
  readonly thing?: string;
}

/** The event of a view's record. Throws EVENT_TAMPERED when it belongs elsewhere. */
export function decodeView(record: Buffer, expected: ExpectedHeader): SealedEvent {
  const event = decodeSealedEvent(record);
  const { header } = event;
  const { app, stream = header.stream, thing = header.thing } = expected;
  if (header.app !== app || header.stream !== stream || header.thing !== thing) {
    throw new LetheError('EVENT_TAMPERED', 'a view holds an event that belongs elsewhere');
  }
  return event;
}

/** Opens events of mixed types; the content of each is of its header's type. */
export async function openContents(
  powers: Pick<ReaderPowers, 'keyring' | 'sealer'>,
  events: readonly SealedEvent[],
): Promise<Opened<EventContents[EventType]>[]> {
  const contents = await openEvents(powers, events);
  return events.map(({ header }, i) => {
    const bytes = contents[i];
    if (bytes === undefined) return { header, content: undefined };
    const codec = contentCodecs[header.type as EventType];
    const content = codec.decode(bytes, header.contentFingerprint) as EventContents[EventType];
    bytes.fill(0);
    return { header, content };
  });
}
