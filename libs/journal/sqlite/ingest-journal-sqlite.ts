/** The journal over SQLite: log, ledger and requests share a file, so one commit takes them all. */

import { hasDelivery, putDelivery } from '../../deliveries/sqlite/delivery-store-sqlite.ts';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import { insertRecords } from '../../event-log/sqlite/event-log-sqlite.ts';
import type { WakeSignal } from '../../event-log/wake-signal.ts';
import { addRequest } from '../../requests/sqlite/request-table-sqlite.ts';
import type { IngestJournal, JournalItem, JournalOutcome } from '../ingest-journal.ts';

/** Opens the journal; the tables were made by the adapters it writes through. */
export function createIngestJournalSqlite(parts: {
  database: SqliteDatabase;
  partitions: number;
  wake: WakeSignal;
}): IngestJournal {
  const { database, partitions, wake } = parts;
  return {
    async commit(app, items) {
      const outcomes = database.transaction(() => {
        const claimed = items.map((item) => {
          if (item.delivery !== undefined && !putDelivery(database, app, item.delivery)) {
            return 'taken' as const;
          }
          if (item.removals?.some((id) => hasDelivery(database, app, id))) {
            if (item.delivery) putDelivery(database, app, item.delivery.asGone());
            return 'removed' as const;
          }
          if (item.request !== undefined) addRequest(database, item.request);
          return 'own' as const;
        });
        return append(items, claimed);
      });
      wake.notify();
      return outcomes;
    },
  };

  function append(
    items: readonly JournalItem[],
    claimed: readonly ('own' | 'taken' | 'removed')[],
  ): JournalOutcome[] {
    const records = items.flatMap((item, i) => (claimed[i] === 'own' ? item.records : []));
    const positions = insertRecords(database, partitions, records);
    let end = 0;
    return items.map((item, i) => {
      const how = claimed[i]!;
      if (how !== 'own') return how;
      end += item.records.length;
      return positions.slice(end - item.records.length, end);
    });
  }
}
