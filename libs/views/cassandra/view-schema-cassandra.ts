/**
 * The views' keyspace. Generations are sets of tables, so that an old one is dropped as a whole.
 * Cells settle by themselves: the write time of each is computed from the event it holds, never
 * taken from a clock. Any order, repetition or late writer ends in the same views.
 *
 * Partitions: a conversation's messages are sliced by week, lists of an app by day and shard.
 */
import type { CassandraSchema } from '../../engines/cassandra-migrations.ts';

/** The tables of generations, applied by `lethe migrate`. */
export const viewSchema: CassandraSchema = {
  area: 'views',
  steps: [
    [
      `CREATE TABLE IF NOT EXISTS view_generations (
        one int, newest int static, live int static, generation int, made int,
        PRIMARY KEY (one, generation))`,
    ],
    ['CREATE TABLE IF NOT EXISTS view_record_key (one int PRIMARY KEY, key blob)'],
  ],
};

const LIST = 'app blob, day int, shard int, place blob, PRIMARY KEY ((app, day, shard), place)';
const LIST_DAYS = 'app blob, day int, PRIMARY KEY (app, day)';

const TABLES = {
  conversations: 'id blob PRIMARY KEY, app blob, last blob, last_message blob, version bigint',
  // The winner among copies of a message: its conversation and position, then the record.
  // By the leaf that its key hangs on: who forgets one looks at those that would go with it.
  messages: 'leaf blob, message blob, conversation blob, copy blob, PRIMARY KEY (leaf, message)',
  message_order: `conversation blob, week int, position blob, message blob,
    PRIMARY KEY ((conversation, week), position, message)`,
  message_weeks: 'conversation blob, week int, PRIMARY KEY (conversation, week)',
  // The position lies beside the copy too: the newest are chosen without reading what they say.
  changes: `message blob, event blob, kind text, at blob, copy blob,
    PRIMARY KEY (message, event)`,
  participants: `conversation blob, subject blob, since blob, latest blob,
    PRIMARY KEY (conversation, subject)`,
  conversations_of: `subject blob, conversation blob, latest blob,
    PRIMARY KEY (subject, conversation)`,
  // Places are only added, so that nobody has to read before writing. A conversation has one for
  // each minute in which it moved, and stands at the newest; a person has one for each identity,
  // and stands at the oldest. Who reads passes the others over.
  inbox: LIST,
  inbox_days: LIST_DAYS,
  people: LIST,
  people_days: LIST_DAYS,
  facts: 'stream blob, kind text, name text, copy blob, PRIMARY KEY (stream, kind, name)',
} as const;

/** The statements that make a generation's tables. */
export function generationTables(generation: number): string[] {
  return Object.entries(TABLES).map(
    ([name, columns]) => `CREATE TABLE IF NOT EXISTS ${name}_${generation} (${columns})`,
  );
}

/** The statements that remove a generation's tables. */
export function generationDrops(generation: number): string[] {
  return Object.keys(TABLES).map((name) => `DROP TABLE IF EXISTS ${name}_${generation}`);
}
