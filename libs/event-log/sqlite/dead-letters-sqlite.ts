/** Dead letters in a table beside the log. */
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import type { DeadLetters } from '../dead-letters.ts';

const TABLE = `
  CREATE TABLE IF NOT EXISTS log_dead_letters (
    partition INTEGER NOT NULL, place INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (partition, place)
  );`;

/** Opens the table of a log. */
export function openDeadLettersSqlite(database: SqliteDatabase): DeadLetters {
  database.define(TABLE);
  return {
    async keep(letters) {
      if (letters.length === 0) return;
      const sql = 'INSERT OR REPLACE INTO log_dead_letters VALUES (?, ?, ?)';
      database.transaction(() => {
        for (const { partition, offset, reason } of letters) {
          database.run(sql, partition, offset, reason);
        }
      });
    },
    async list() {
      return database.all(
        `SELECT partition, place AS offset, reason FROM log_dead_letters
         ORDER BY partition, place`,
      );
    },
    async drop(places) {
      const sql = 'DELETE FROM log_dead_letters WHERE partition = ? AND place = ?';
      database.transaction(() => {
        for (const { partition, offset } of places) database.run(sql, partition, offset);
      });
    },
  };
}
