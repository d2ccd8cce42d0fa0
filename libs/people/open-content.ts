/** Opens records of the views as the typed content of their events. */

import type { AppId } from '../base/ids.ts';
import { LetheError } from '../base/lethe-error.ts';
import { endLongTurn } from '../base/loop-turns.ts';
import { decodeSealedEvent, type EventHeader, type SealedEvent } from '../codec/sealed-event.ts';
import { contentCodecs, type EventContents, type EventType } from '../conversation/event-types.ts';
import type { Opened } from '../conversation/message-fold.ts';
import { openEvents } from '../keyring/open-events.ts';
import type { ReaderPowers } from '../wiring/powers.ts';

const EVENTS_PER_TURN = 200;

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
  const opened: Opened<EventContents[EventType]>[] = [];
  // Rings that are in use hold up a loss: they are let go of where others come between.
  for (let at = 0; at < events.length; at += EVENTS_PER_TURN) {
    await endLongTurn();
    const some = events.slice(at, at + EVENTS_PER_TURN);
    const contents = await openEvents(powers, some);
    for (const [i, { header }] of some.entries()) opened.push(openOne(header, contents[i]));
  }
  return opened;
}

function openOne(header: EventHeader, bytes: Buffer | undefined): Opened<EventContents[EventType]> {
  if (bytes === undefined) return { header, content: undefined };
  const codec = contentCodecs[header.type as EventType];
  const content = codec.decode(bytes, header.contentFingerprint) as EventContents[EventType];
  bytes.fill(0);
  return { header, content };
}
