/** The record of turns in the vault's SQLite file. */
import type { SqliteDatabase } from '../../../engines/sqlite-database.ts';
import type { TurnRow, TurnTable } from '../turn-table.ts';

const TABLES = `
  CREATE TABLE IF NOT EXISTS vault_turn (
    one INTEGER PRIMARY KEY CHECK (one = 1), turn TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS vault_turn_spare (
    one INTEGER PRIMARY KEY CHECK (one = 1), turn TEXT NOT NULL, code TEXT NOT NULL
  );`;
const BEGIN = 'INSERT INTO vault_turn (one, turn, code) VALUES (1, ?, ?) ON CONFLICT DO NOTHING';
const REPLACE = 'UPDATE vault_turn SET turn = ?, code = ? WHERE turn IS ? AND code IS ?';

/** Opens it. */
export function openTurnTableSqlite(database: SqliteDatabase): TurnTable {
  database.define(TABLES);
  database.addColumn('vault_turn', 'code TEXT');
  return {
    async read() {
      return database.get<TurnRow & object>('SELECT turn AS text, code FROM vault_turn');
    },
    async replace(read, { text, code }) {
      if (read === undefined) return database.run(BEGIN, text, code) === 1;
      return database.run(REPLACE, text, code, read.text, read.code) === 1;
    },
    async readSpare() {
      return database.get<TurnRow & object>('SELECT turn AS text, code FROM vault_turn_spare');
    },
    async writeSpare({ text, code }) {
      database.run('INSERT OR REPLACE INTO vault_turn_spare VALUES (1, ?, ?)', text, code);
    },
  };
}
