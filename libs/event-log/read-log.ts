/** The whole log, page by page: what was on it when the reading began. */
import type { EventLog, PlacedRecord } from './event-log.ts';

/** Pages of records, partition after partition, in the order of each; tombstones are in them. */
export async function* readLog(
  log: Pick<EventLog, 'endOffsets' | 'read'>,
  pageRecords = 1_000,
): AsyncIterable<PlacedRecord[]> {
  for (const [partition, end] of (await log.endOffsets()).entries()) {
    for (let next = 0; next < end; ) {
      const records = await log.read(partition, next, pageRecords);
      if (records.length === 0) break;
      yield records;
      next = records.at(-1)!.offset + 1;
    }
  }
}
