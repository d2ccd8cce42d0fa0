/** The turn's record in the vault's keyspace. */
import type { CassandraDatabase } from '../../../engines/cassandra-database.ts';
import type { Turn, TurnStore } from '../turn-store.ts';

const READ = 'SELECT turn FROM vault_turn WHERE one = 0';
const BEGIN = 'INSERT INTO vault_turn (one, turn) VALUES (0, ?) IF NOT EXISTS';
const REPLACE = 'UPDATE vault_turn SET turn = ? WHERE one = 0 IF turn = ?';

/** Opens the record; `lethe migrate` made its table. */
export function openTurnStoreCassandra(database: CassandraDatabase): TurnStore {
  const read = async () => (await database.getSerial<{ turn: string }>(READ))?.turn;
  return {
    async read() {
      const text = await read();
      return text === undefined ? undefined : (JSON.parse(text) as Turn);
    },
    async write(turn, before) {
      const text = JSON.stringify(turn);
      const statement =
        before === undefined
          ? { query: BEGIN, params: [text] }
          : { query: REPLACE, params: [text, JSON.stringify(before)] };
      return database.applySettled([statement], async () => (await read()) === text);
    },
  };
}
