/**
 * A record of the log: key and value. The key repeats header fields so that the log can be
 * compacted copy by copy; a reader compares it with the header, and a difference is `tampered`.
 */
import { LetheError } from '../base/lethe-error.ts';
import { decodeSealedEvent, type EventHeader, type SealedEvent } from './sealed-event.ts';

export const RECORD_KEY_BYTES = 16 + 16 + 8 + 2;
/** No event is longer: a message has 100,000 characters of text, and of the rest as much again. */
const RECORD_BYTES_MAX = 1024 * 1024;

/** stream id (16) ‖ event id (16) ‖ recordedAt (8) ‖ attempt (u16). */
export function encodeRecordKey(
  header: Pick<EventHeader, 'stream' | 'eventId' | 'recordedAt' | 'attempt'>,
): Buffer {
  const key = Buffer.allocUnsafe(RECORD_KEY_BYTES);
  key.write(header.stream, 0, 'hex');
  key.write(header.eventId, 16, 'hex');
  key.write(header.recordedAt, 32, 'hex');
  key.writeUInt16BE(header.attempt, 40);
  return key;
}

/** The event of a record. Throws FORMAT_UNKNOWN, or EVENT_TAMPERED when key and header differ. */
export function decodeRecord(key: Buffer, value: Buffer): SealedEvent {
  if (value.length > RECORD_BYTES_MAX) {
    const text = `a record of ${value.length} bytes: no version writes one so long`;
    throw new LetheError('FORMAT_UNKNOWN', text);
  }
  const event = decodeSealedEvent(value);
  if (!encodeRecordKey(event.header).equals(key)) {
    throw new LetheError('EVENT_TAMPERED', 'the record key and the event header differ');
  }
  return event;
}

const STREAM_ID_BYTES = 16;

/** Is a key long enough to name a stream? A shorter one was never an event's. */
export function namesStream(key: Buffer): boolean {
  return key.length >= STREAM_ID_BYTES;
}

/** The partition of a record: last u32 of its key's stream id mod the log's fixed count. */
export function streamToPartition(key: Buffer, partitions: number): number {
  return key.readUInt32BE(12) % partitions;
}
