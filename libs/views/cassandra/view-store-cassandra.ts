/** The views in Cassandra. */

import { isLetheError } from '../../base/lethe-error.ts';
import type { CassandraDatabase } from '../../engines/cassandra-database.ts';
import type { ViewStore } from '../view-store.ts';
import { ViewGenerations } from './view-generations-cassandra.ts';
import { createViewReaderCassandra } from './view-reader-cassandra.ts';
import { versionStatements, viewStatements } from './view-writer-cassandra.ts';

const RECORD_KEY = 'SELECT key FROM view_record_key WHERE one = 0';
const TELL_RECORD_KEY = 'INSERT INTO view_record_key (one, key) VALUES (0, ?)';

/** Opens the views; `lethe migrate` made the table of generations. */
export function openViewStoreCassandra(database: CassandraDatabase): ViewStore {
  const generations = new ViewGenerations(database);
  return {
    ...createViewReaderCassandra(database, () => generations.live()),
    async recordKey() {
      const row = await database.get<{ key: Buffer | null }>(RECORD_KEY);
      return row?.key ?? undefined;
    },
    tellRecordKey: (key) => database.run(TELL_RECORD_KEY, key),
    async apply(generation, changes) {
      await generations.live();
      if (!(await generations.isThere(generation))) return false;
      try {
        await database.runAll(viewStatements(generation, changes));
        // Last: whoever sees a version must find all that was written under it.
        await database.runAll(versionStatements(generation, changes));
        return true;
      } catch (error) {
        // Its tables went meanwhile.
        const isGone = isLetheError(error) && !error.retryable;
        if (isGone && !(await generations.isThere(generation))) return false;
        throw error;
      }
    },
    beginGeneration: () => generations.begin(),
    switchTo: (generation) => generations.switchTo(generation),
  };
}
