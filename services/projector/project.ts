/**
 * The projector: folds the log into the views. It copies sealed records and holds no key. A record
 * that cannot be read goes to the dead letters by reference, and the projector goes on.
 */

import type { ProjectorPowers } from '../../libs/backends/powers.ts';
import { projectorGroup } from '../../libs/backends/views-behind.ts';
import { isLetheError, LetheError } from '../../libs/base/lethe-error.ts';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import { eventToViewChanges, type ViewChange } from '../../libs/conversation/view-changes.ts';
import { isTombstone, type PlacedRecord } from '../../libs/event-log/event-log.ts';
import type { ViewWriter } from '../../libs/views/view-store.ts';

/** Projects records into a generation. False: that generation is gone. */
export async function projectRecords(
  views: ViewWriter,
  generation: number,
  records: readonly PlacedRecord[],
): Promise<boolean> {
  const changes: ViewChange[] = [];
  for (const record of records) {
    if (isTombstone(record)) continue;
    try {
      const event = decodeRecord(record.key, record.value);
      changes.push(...eventToViewChanges(event, record.value));
    } catch (error) {
      if (!isLetheError(error)) throw error;
      const { partition, offset } = record;
      await views.deadLetter({ partition, offset, reason: error.code });
    }
  }
  return views.apply(generation, changes);
}

/** Follows the log into whichever generation serves, until the signal ends it. */
export async function runProjector(powers: ProjectorPowers, signal: AbortSignal): Promise<void> {
  const { log, views } = powers;
  while (!signal.aborted) {
    const generation = await views.generation();
    const moved = new AbortController();
    await log.follow({
      group: projectorGroup(generation),
      signal: AbortSignal.any([signal, moved.signal]),
      handle: async (records) => {
        if (!(await projectRecords(views, generation, records))) moved.abort();
      },
      caughtUp: () => {
        void views.generation().then((live) => {
          if (live !== generation) moved.abort();
        });
      },
    });
  }
}

/**
 * Builds a new generation beside the one that serves, and switches when it has caught up. Reports
 * progress as (records done, records there). Throws CONTENDED when another rebuild took its place.
 */
export async function rebuildViews(
  powers: ProjectorPowers,
  onProgress: (done: number, total: number) => void,
): Promise<number> {
  const { log, views } = powers;
  const before = await views.generation();
  const generation = await views.beginGeneration();
  const next = new Array<number>(log.partitions).fill(0);
  let done = 0;
  for (;;) {
    const ends = await log.endOffsets();
    if (next.every((offset, partition) => offset >= ends[partition]!)) break;
    for (let partition = 0; partition < log.partitions; partition += 1) {
      const records = await log.read(partition, next[partition]!, 2_000);
      if (records.length === 0) continue;
      if (!(await projectRecords(views, generation, records))) throw overtaken();
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
  return done;
}

function overtaken(): LetheError {
  const text = 'another rebuild of the views began meanwhile: it goes on, this one ended';
  return new LetheError('CONTENDED', text, { retryable: true });
}
