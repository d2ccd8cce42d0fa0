/**
 * How the projector knows this store's records on a log that others may append to: who has the
 * vault tells it their key by the views. With that it can do what it can do anyway: decide what the
 * views show.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isLetheError, LetheError } from '../base/lethe-error.ts';
import { createRecordCodes, type RecordCodes } from '../event-log/record-codes.ts';
import type { ViewStore, ViewWriter } from '../views/view-store.ts';

const AGAIN_MS = 1_000;

/** The codes as the projector is told them. `ready` throws VIEWS_UNREACHABLE: it was not, yet. */
export function codesToldTo(views: Pick<ViewWriter, 'recordKey'>): RecordCodes {
  return createRecordCodes(async () => {
    const key = await views.recordKey();
    if (key !== undefined) return key;
    const text = 'the views do not say yet what records of this store are known by';
    const advice = 'start ingest, reader or privacy, which tell it';
    throw new LetheError('VIEWS_UNREACHABLE', `${text}: ${advice}`, { retryable: true });
  });
}

/**
 * Tells the projector the key, unless it was told before. Where the views cannot be reached now it
 * goes on trying until the signal. Throws what reading the key throws.
 */
export async function tellRecordKey(
  views: Pick<ViewStore, 'recordKey' | 'tellRecordKey'>,
  read: () => Promise<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  const key = await read();
  const tell = async () => {
    if (!(await views.recordKey())?.equals(key)) await views.tellRecordKey(key);
  };
  const isTold = () => tell().then(() => true, passing);
  if (await isTold()) return;
  const later = async () => {
    while (!signal.aborted && !(await isTold())) await sleep(AGAIN_MS, undefined, { signal });
  };
  void later().catch(() => undefined);
}

/** What may pass by itself is tried again. */
function passing(error: unknown): false {
  if (isLetheError(error) && error.retryable) return false;
  throw error;
}
