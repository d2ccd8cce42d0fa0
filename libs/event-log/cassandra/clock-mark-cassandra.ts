/** The clock's mark in one row of Cassandra. */
import type { CassandraDatabase } from '../../engines/cassandra-database.ts';
import type { CassandraSchema } from '../../engines/cassandra-migrations.ts';
import type { ClockMark } from '../clock-mark.ts';

/** The table of the clock mark, applied by `lethe migrate`. */
export const clockMarkSchema: CassandraSchema = {
  area: 'clock mark',
  steps: [['CREATE TABLE IF NOT EXISTS clock_mark (one int PRIMARY KEY, ms bigint)']],
};

const READ = 'SELECT ms FROM clock_mark WHERE one = 0';
const BORN = 'INSERT INTO clock_mark (one, ms) VALUES (0, ?) IF NOT EXISTS';
const RAISE = 'UPDATE clock_mark SET ms = ? WHERE one = 0 IF ms < ?';

/** Opens the mark; `lethe migrate` made its table. */
export function openClockMarkCassandra(database: CassandraDatabase): ClockMark {
  const read = async () => Number((await database.getSerial<{ ms: unknown }>(READ))?.ms ?? 0);
  return {
    read,
    async raise(ms) {
      const isRaised = async () => (await read()) >= ms;
      if (await database.applySettled([{ query: RAISE, params: [ms, ms] }], isRaised)) return;
      if (await isRaised()) return;
      // There is no mark yet; whoever makes it first may have made a lower one.
      if (await database.applySettled([{ query: BORN, params: [ms] }], isRaised)) return;
      await database.applySettled([{ query: RAISE, params: [ms, ms] }], isRaised);
    },
  };
}
