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

  /** Items whose removal was there before their own row was claimed. */
  async function findRemoved(app: AppId, items: readonly JournalItem[]): Promise<Set<JournalItem>> {
    const asked = items.flatMap((item) => (item.removals ?? []).map((id) => ({ item, id })));
    if (asked.length === 0) return new Set();
    const found = await deliveries.find(
      app,
      asked.map(({ id }) => id),
    );
    return new Set(asked.filter((_, i) => found[i] !== undefined).map(({ item }) => item));
  }

  return {
    async commit(app, items) {
      const claimed = await claim(app, items);
      const own = items.filter((_, i) => claimed[i]);
      const removed = await findRemoved(app, own);
      const gone = [...removed].flatMap(({ delivery }) => delivery?.asGone() ?? []);
      if (gone.length > 0) {
        await deliveries.put(app, gone);
        await deliveries.settle(app, gone);
      }
      const kept = own.filter((item) => !removed.has(item));
      for (const { request } of kept) if (request !== undefined) await requests.add(request);
      const positions = await log.append(kept.flatMap(({ records }) => records));
      await deliveries.settle(
        app,
        kept.flatMap(({ delivery }) => delivery ?? []),
      );
      let end = 0;
      return items.map((item, i) => {
        if (!claimed[i]) return 'taken' as const;
        if (removed.has(item)) return 'removed' as const;
        end += item.records.length;
        return positions.slice(end - item.records.length, end);
      });
    },
  };
}
