/**
 * Seals content into records and opens it again: the event key out of three rings, the AEAD, the
 * envelope. Synchronous: rings are opened before, and checked for staleness after, by the caller.
 */
import { msToDay } from '../base/day.ts';
import type { Randomness } from '../base/random.ts';
import { secretBytes } from '../base/secret-bytes.ts';
import { encodeRecordKey } from '../codec/event-record.ts';
import {
  type EventHeader,
  encodeHeader,
  encodeSealedEvent,
  HEADER_FORMAT_VERSION,
  type SealedEvent,
} from '../codec/sealed-event.ts';
import { cipherOf, sealingCipher } from '../sealing/ciphers.ts';
import { purposes, writeEventKey } from '../sealing/event-key.ts';
import { wipeWork } from '../sealing/sha256-block.ts';
import { ringKinds } from '../sealing/tree-path.ts';
import type { Ring, RingRef } from './ring.ts';

/** The three rings whose key material an event's key is made of. */
export interface EventRings {
  readonly app: Ring;
  readonly owner: Ring;
  readonly place: Ring;
}

/** What identifies an event's rings, class, day and thing. */
export type KeyedHeader = Pick<
  EventHeader,
  'app' | 'owner' | 'place' | 'thing' | 'eventId' | 'retentionClass' | 'occurredAt' | 'cipher'
>;

/** References of the three rings of an event: app, owner, place. */
export function eventRingRefs(
  header: Pick<EventHeader, 'app' | 'owner' | 'place' | 'thing'>,
): [RingRef, RingRef, RingRef] {
  const { app, thing } = header;
  return [
    { app, kind: ringKinds.app, id: app },
    { app, kind: ringKinds.owner, id: header.owner },
    { app, kind: ringKinds.place, id: header.place, things: [thing] },
  ];
}

const key = secretBytes(32);
const appPart = secretBytes(32);
const thingLeaf = secretBytes(32);
const ownerBytes = Buffer.alloc(16);
const thing = Buffer.alloc(16);
const eventId = Buffer.alloc(16);

/**
 * Writes the event key into the shared buffer. False: some part of it was taken away. What was kept
 * of a held person is for opening only: nothing new is sealed for a day that is gone.
 */
function deriveEventKey(header: KeyedHeader, rings: EventRings, to: 'seal' | 'open'): boolean {
  const day = msToDay(header.occurredAt);
  const { owner, retentionClass } = header;
  ownerBytes.write(owner, 'hex');
  thing.write(header.thing, 'hex');
  eventId.write(header.eventId, 'hex');
  const isThere =
    rings.app.writeAppPart({ retentionClass, day, owner, ownerBytes }, appPart) ||
    (to === 'open' && rings.owner.writeKeptAppPart(retentionClass, day, appPart));
  if (!isThere) return false;
  const ownerDaySeed = rings.owner.daySeed(retentionClass, day);
  if (ownerDaySeed === undefined) return false;
  if (!rings.place.writeThingLeaf(thing, thingLeaf)) return false;
  const { cipher } = header;
  writeEventKey(
    { purpose: purposes.content, cipher, appPart, ownerDaySeed, thingLeaf, eventId },
    key,
  );
  return true;
}

/** Can the key of an event not be made any more, though its rings live? */
export function isKeyForgotten(header: KeyedHeader, rings: EventRings): boolean {
  try {
    return !deriveEventKey(header, rings, 'open');
  } finally {
    wipe();
  }
}

function wipe(): void {
  key.fill(0);
  appPart.fill(0);
  thingLeaf.fill(0);
  wipeWork();
}

/** A record that can be appended to the log. */
export interface SealedRecord {
  readonly header: EventHeader;
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Header fields that the caller decides; the sealer adds format version and cipher. */
export type HeaderDraft = Omit<EventHeader, 'formatVersion' | 'cipher'>;

/** Seals one content. `forgotten`: its day, class or thing was taken away and stays away. */
export function sealEvent(
  draft: HeaderDraft,
  content: Buffer,
  use: { rings: EventRings; randomness: Randomness },
): SealedRecord | 'forgotten' {
  const header: EventHeader = {
    ...draft,
    formatVersion: HEADER_FORMAT_VERSION,
    cipher: sealingCipher.id,
  };
  try {
    if (!deriveEventKey(header, use.rings, 'seal')) return 'forgotten';
    const headerBytes = encodeHeader(header);
    const bound = { associatedData: headerBytes, randomness: use.randomness };
    const value = encodeSealedEvent({ headerBytes, ...sealingCipher.seal(key, content, bound) });
    return { header, key: encodeRecordKey(header), value };
  } finally {
    wipe();
  }
}

/**
 * Opens one event. `forgotten`: some part of its key is gone. Throws EVENT_TAMPERED, and
 * FORMAT_UNKNOWN when it is sealed with a cipher of a newer version.
 */
export function unsealEvent(event: SealedEvent, rings: EventRings): Buffer | 'forgotten' {
  try {
    // First: what is forgotten is so under every cipher.
    if (!deriveEventKey(event.header, rings, 'open')) return 'forgotten';
    return cipherOf(event.header.cipher).unseal(key, event, event.headerBytes);
  } finally {
    wipe();
  }
}

/** Seals and opens for one process, and counts what it did. */
export interface EventSealer {
  /** See sealEvent. */
  seal(draft: HeaderDraft, content: Buffer, rings: EventRings): SealedRecord | 'forgotten';
  /** See unsealEvent. */
  open(event: SealedEvent, rings: EventRings): Buffer | 'forgotten';
  readonly counts: { readonly sealed: number; readonly opened: number };
}

/** The sealer of a process, which shares one source of nonces. */
export function createEventSealer(randomness: Randomness): EventSealer {
  const counts = { sealed: 0, opened: 0 };
  return {
    counts,
    seal(draft, content, rings) {
      const sealed = sealEvent(draft, content, { rings, randomness });
      if (sealed !== 'forgotten') counts.sealed += 1;
      return sealed;
    },
    open(event, rings) {
      const content = unsealEvent(event, rings);
      if (content !== 'forgotten') counts.opened += 1;
      return content;
    },
  };
}
