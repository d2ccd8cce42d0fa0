/**
 * The journal over engines that cannot commit together. The ledger's row is claimed first, then the
 * records are appended, then the row is settled. Whoever dies between leaves a row that is not
 * settled: its delivery is taken in once more, with the same event id and recordedAt and a higher
 * attempt, and consumers keep one of the copies. Nothing is acknowledged before it is on the log.
 */
import type { AppId } from '../base/ids.ts';
import type { DeliveryStore } from '../deliveries/delivery-store.ts';
import type { EventLog } from '../event-log/event-log.ts';
import type { RequestTable } from '../requests/request-table.ts';
import type { IngestJournal, JournalItem } from './ingest-journal.ts';

/** Opens the journal over the engines' own ports. */
export function createIngestJournalApart(parts: {
  log: EventLog;
  deliveries: DeliveryStore;
  requests: Pick<RequestTable, 'add'>;
}): IngestJournal {
  const { log, deliveries, requests } = parts;

  async function claim(app: AppId, items: readonly JournalItem[]): Promise<boolean[]> {
    const withRow = items.flatMap(({ delivery }, i) => (delivery ? [{ delivery, i }] : []));
    const isFirst = await deliveries.put(
      app,
      withRow.map(({ delivery }) => delivery),
    );
    const claimed = items.map(() => true);
    for (const [n, { i }] of withRow.entries()) claimed[i] = isFirst[n]!;
    return claimed;
  }

  return {
    async commit(app, items) {
      const claimed = await claim(app, items);
      const own = items.filter((_, i) => claimed[i]);
      for (const { request } of own) if (request !== undefined) await requests.add(request);
      const positions = await log.append(own.flatMap(({ records }) => records));
      await deliveries.settle(
        app,
        own.flatMap(({ delivery }) => delivery ?? []),
      );
      let end = 0;
      return items.map((item, i) => {
        if (!claimed[i]) return 'taken' as const;
        end += item.records.length;
        return positions.slice(end - item.records.length, end);
      });
    },
  };
}
