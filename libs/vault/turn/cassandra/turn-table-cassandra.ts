/** The record of turns in the vault's keyspace; its spare is another row of the table. */
import type { CassandraDatabase } from '../../../engines/cassandra-database.ts';
import type { TurnRow, TurnTable } from '../turn-table.ts';

const READ = 'SELECT turn, code FROM vault_turn WHERE one = ?';
const BEGIN = 'INSERT INTO vault_turn (one, turn, code) VALUES (0, ?, ?) IF NOT EXISTS';
const REPLACE = 'UPDATE vault_turn SET turn = ?, code = ? WHERE one = 0 IF turn = ? AND code = ?';
const WRITE_SPARE = 'INSERT INTO vault_turn (one, turn, code) VALUES (1, ?, ?)';

/** Opens it; `lethe migrate` made its table. */
export function openTurnTableCassandra(database: CassandraDatabase): TurnTable {
  async function readRow(one: number): Promise<TurnRow | undefined> {
    const row = await database.getSerial<{ turn: string | null; code: string | null }>(READ, one);
    return row && { text: row.turn, code: row.code };
  }
  return {
    read: () => readRow(0),
    async replace(read, { text, code }) {
      const statement =
        read === undefined
          ? { query: BEGIN, params: [text, code] }
          : { query: REPLACE, params: [text, code, read.text, read.code] };
      return database.applySettled([statement], async () => (await readRow(0))?.code === code);
    },
    readSpare: () => readRow(1),
    async writeSpare({ text, code }) {
      await database.run(WRITE_SPARE, text, code);
    },
  };
}
