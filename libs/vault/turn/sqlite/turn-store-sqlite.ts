/** The turn's record in the vault's SQLite file. */
import type { SqliteDatabase } from '../../../engines/sqlite-database.ts';
import type { Turn, TurnStore } from '../turn-store.ts';

const TABLES = `
  CREATE TABLE IF NOT EXISTS vault_turn (
    one INTEGER PRIMARY KEY CHECK (one = 1), turn TEXT NOT NULL
  );`;

/** Opens the record. */
export function openTurnStoreSqlite(database: SqliteDatabase): TurnStore {
  database.define(TABLES);
  return {
    async read() {
      const row = database.get<{ turn: string }>('SELECT turn FROM vault_turn');
      return row && (JSON.parse(row.turn) as Turn);
    },
    async write(turn, before) {
      const text = JSON.stringify(turn);
      if (before === undefined) {
        const sql = 'INSERT INTO vault_turn VALUES (1, ?) ON CONFLICT DO NOTHING';
        return database.run(sql, text) === 1;
      }
      const sql = 'UPDATE vault_turn SET turn = ? WHERE turn = ?';
      return database.run(sql, text, JSON.stringify(before)) === 1;
    },
  };
}
