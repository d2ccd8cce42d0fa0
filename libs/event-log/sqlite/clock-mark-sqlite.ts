/** The clock's mark in one SQLite row. */
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import type { ClockMark } from '../clock-mark.ts';

/** Opens the mark's table. */
export function openClockMarkSqlite(database: SqliteDatabase): ClockMark {
  database.define('CREATE TABLE IF NOT EXISTS clock_mark (id INTEGER PRIMARY KEY, ms INTEGER)');
  return {
    async read() {
      return database.get<{ ms: number }>('SELECT ms FROM clock_mark')?.ms ?? 0;
    },
    async raise(ms) {
      const sql = `INSERT INTO clock_mark VALUES (1, ?1)
        ON CONFLICT (id) DO UPDATE SET ms = max(ms, ?1)`;
      database.run(sql, ms);
    },
  };
}
