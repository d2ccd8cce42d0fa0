/**
 * The projector: folds the log into the views. It copies sealed records and holds no key. A record
 * that cannot be read goes to the dead letters by reference, and the projector goes on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isLetheError, LetheError } from '../base/lethe-error.ts';
import type { EventHeader } from '../codec/sealed-event.ts';
import { eventToViewChanges, type ViewChange } from '../conversation/view-changes.ts';
import { inSpan, isTracing } from '../engines/tracing.ts';
import type { DeadLetter } from '../event-log/dead-letters.ts';
import {
  decodePlaced,
  type EventLog,
  isTombstone,
  type PlacedRecord,
} from '../event-log/event-log.ts';
import { readLog } from '../event-log/read-log.ts';
import { useEventRings } from '../keyring/event-rings.ts';
import { isKeyForgotten } from '../keyring/event-sealer.ts';
import type { KeyringUse } from '../keyring/keyring.ts';
import type { ViewWriter } from '../views/view-store.ts';
import type { ProjectorPowers } from '../wiring/powers.ts';
import { projectorGroup } from './views-behind.ts';

const TROUBLE_WAIT_MS = 1_000;
const RECORDS_PER_READ = 2_000;

type ReadableLog = Pick<EventLog, 'partitions' | 'codes'>;

/** What records come to in the views, and references to those that cannot be read. */
function foldRecords(log: ReadableLog, records: readonly PlacedRecord[]) {
  const changes: ViewChange[] = [];
  const letters: DeadLetter[] = [];
  for (const record of records) {
    if (isTombstone(record)) continue;
    try {
      const event = decodePlaced(record, log);
      changes.push(...eventToViewChanges(event, record.value, record.offset));
    } catch (error) {
      // Reading a record is pure: whatever it failed with, it was the record, and the rest goes on.
      const reason = isLetheError(error) ? error.code : 'FORMAT_UNKNOWN';
      const { partition, offset } = record;
      letters.push({ partition, offset, reason });
    }
  }
  return { changes, letters };
}

/** Where records are not of this store, it may have another key since: a store was made anew. */
async function foldKnown(log: ReadableLog, records: readonly PlacedRecord[]) {
  const folded = foldRecords(log, records);
  const isStrange = folded.letters.some(({ reason }) => reason === 'EVENT_TAMPERED');
  return isStrange && (await log.codes?.reload()) ? foldRecords(log, records) : folded;
}

/** Projects records into a generation. False: that generation is gone. */
export async function projectRecords(
  { log, views }: { log: ReadableLog & Pick<EventLog, 'deadLetters'>; views: ViewWriter },
  generation: number,
  records: readonly PlacedRecord[],
): Promise<boolean> {
  const { changes, letters } = await foldKnown(log, records);
  await log.deadLetters.keep(letters);
  const links = isTracing() ? records.flatMap(({ trace }) => trace ?? []) : [];
  const attributes = { 'lethe.records': records.length };
  const span = { kind: 'consumer', attributes, links } as const;
  return inSpan('project', span, () => views.apply(generation, changes));
}

/**
 * Follows the log into whichever generation serves, until the signal ends it. An engine that cannot
 * be reached for a while is told of by `onTrouble`, and asked again.
 */
export async function runProjector(
  powers: ProjectorPowers,
  signal: AbortSignal,
  onTrouble: (error: LetheError) => void = () => undefined,
): Promise<void> {
  await untilAborted({ signal, onTrouble }, () => followGeneration(powers, signal));
}

/** Does work again and again until the signal; what may pass by itself is told of, and awaited. */
export async function untilAborted(
  { signal, onTrouble }: { signal: AbortSignal; onTrouble: (error: LetheError) => void },
  work: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      if (!isLetheError(error) || !mayPass(error)) throw error;
      onTrouble(error);
      await sleep(TROUBLE_WAIT_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** A disk that is full has room again some day: who reads is served meanwhile. */
function mayPass(error: LetheError): boolean {
  return error.retryable || error.code === 'STORE_FULL';
}

async function followGeneration(powers: ProjectorPowers, signal: AbortSignal) {
  const { log, views } = powers;
  const generation = await views.generation();
  const moved = new AbortController();
  await log.follow({
    group: projectorGroup(generation),
    signal: AbortSignal.any([signal, moved.signal]),
    handle: async (records) => {
      if (!(await projectRecords(powers, generation, records))) moved.abort();
    },
    caughtUp: () => {
      // What cannot be reached now is asked again by the next look.
      const look = async () => {
        if ((await views.generation()) !== generation) moved.abort();
      };
      void look().catch(() => undefined);
    },
  });
}

/**
 * Builds a new generation beside the one that serves, and switches when it has caught up. Reports
 * progress as (records done, records there). Throws CONTENDED when another rebuild took its place.
 * `keyring` tells what is gone: a tombstone alone removes nothing, as anybody may write one.
 */
export async function rebuildViews(
  powers: ProjectorPowers,
  keyring: KeyringUse,
  onProgress: (done: number, total: number) => void,
): Promise<number> {
  const { log, views } = powers;
  const watched = watchDeadLetters(log);
  const before = await views.generation();
  const generation = await views.beginGeneration();
  const removed = log.removesLater ? await removedKeys(log) : undefined;
  const next = new Array<number>(log.partitions).fill(0);
  let done = 0;
  for (;;) {
    const ends = await log.endOffsets();
    if (next.every((offset, partition) => offset >= ends[partition]!)) break;
    for (let partition = 0; partition < log.partitions; partition += 1) {
      const records = await log.read(partition, next[partition]!, RECORDS_PER_READ);
      if (records.length === 0) continue;
      const there = removed ? await leaveOutLost({ keyring, log }, removed, records) : records;
      if (!(await projectRecords({ log: watched.log, views }, generation, there)))
        throw overtaken();
      next[partition] = records.at(-1)!.offset + 1;
      done += records.length;
      onProgress(
        done,
        ends.reduce((sum, end) => sum + end, 0),
      );
    }
  }
  await log.saveCheckpoints(projectorGroup(generation), next);
  if (!(await views.switchTo(generation))) throw overtaken();
  await log.dropGroup(projectorGroup(before));
  // The new views serve already: what cannot be reached now is left to the next rebuild.
  await dropSettledLetters(log, watched.met, next).catch((error: unknown) => {
    if (!isLetheError(error) || !error.retryable) throw error;
  });
  return done;
}

/** Brings the views that serve up to the end of the log as it is now; no projector is running. */
export async function catchUp({ log, views }: ProjectorPowers): Promise<void> {
  const generation = await views.generation();
  const group = projectorGroup(generation);
  const next = [...(await log.checkpoints(group))];
  const ends = await log.endOffsets();
  for (const [partition, end] of ends.entries()) {
    while (next[partition]! < end) {
      const records = await log.read(partition, next[partition]!, RECORDS_PER_READ);
      if (records.length === 0) break;
      if (!(await projectRecords({ log, views }, generation, records))) throw overtaken();
      next[partition] = records.at(-1)!.offset + 1;
    }
  }
  await log.saveCheckpoints(group, next);
}

/** References that a rebuild keeps anew. */
function watchDeadLetters({ deadLetters, partitions, codes }: EventLog) {
  const met = new Set<string>();
  const keep = (letters: readonly DeadLetter[]) => {
    for (const letter of letters) met.add(placeOf(letter));
    return deadLetters.keep(letters);
  };
  return { met, log: { partitions, codes, deadLetters: { ...deadLetters, keep } } };
}

/**
 * Takes out references to what was removed or can be read by now: whatever lies before `next` and
 * was not met again, or where the log has no place (another copy of it was brought back).
 */
async function dropSettledLetters(
  log: EventLog,
  met: ReadonlySet<string>,
  next: readonly number[],
): Promise<void> {
  const letters = await log.deadLetters.list();
  const ends = await log.endOffsets();
  const isSettled = (letter: DeadLetter) => {
    const { partition, offset } = letter;
    return (
      offset >= (ends[partition] ?? 0) || (offset < next[partition]! && !met.has(placeOf(letter)))
    );
  };
  await log.deadLetters.drop(letters.filter(isSettled));
}

const placeOf = ({ partition, offset }: DeadLetter) => `${partition}:${offset}`;

/** Keys of records that were removed: each names one copy of one event, and never comes again. */
async function removedKeys(log: ProjectorPowers['log']): Promise<Set<string>> {
  const keys = new Set<string>();
  for await (const records of readLog(log)) {
    for (const record of records) if (isTombstone(record)) keys.add(keyText(record.key));
  }
  return keys;
}

/** Leaves out what was removed, and is gone by what the vault says. */
async function leaveOutLost(
  { keyring, log }: { keyring: KeyringUse; log: EventLog },
  removed: ReadonlySet<string>,
  records: readonly PlacedRecord[],
): Promise<PlacedRecord[]> {
  const named = records.flatMap((record) => {
    if (isTombstone(record) || !removed.has(keyText(record.key))) return [];
    const header = headerOf(record, log);
    return header === undefined ? [] : [{ record, header }];
  });
  const headers = named.map(({ header }) => header);
  const lost = await useEventRings(keyring, headers, async (ringsOf) =>
    named.filter(({ header }) => {
      const { whole } = ringsOf(header);
      return whole === undefined || isKeyForgotten(header, whole);
    }),
  );
  const left = new Set(lost.map(({ record }) => record));
  return records.filter((record) => !left.has(record));
}

function headerOf(record: PlacedRecord, log: EventLog): EventHeader | undefined {
  try {
    return decodePlaced(record, log).header;
  } catch (error) {
    if (isLetheError(error)) return undefined;
    throw error;
  }
}

const keyText = (key: Buffer) => key.toString('latin1');

function overtaken(): LetheError {
  const text = 'another rebuild of the views began meanwhile: it goes on, this one ended';
  return new LetheError('CONTENDED', text, { retryable: true });
}
