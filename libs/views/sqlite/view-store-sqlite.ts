/** The views in SQLite: one set of tables a generation. */

import type { ViewChange } from '../../conversation/view-changes.ts';
import type { SqliteDatabase } from '../../engines/sqlite-database.ts';
import { firstGeneration } from '../first-generation.ts';
import type { ViewStore } from '../view-store.ts';
import { createViewReaderSqlite } from './view-reader-sqlite.ts';
import { applyViewChanges } from './view-writer-sqlite.ts';

const COMMON = `
  CREATE TABLE IF NOT EXISTS view_generations (generation INTEGER PRIMARY KEY, live INTEGER);
  CREATE TABLE IF NOT EXISTS view_generation_newest (one INTEGER PRIMARY KEY, generation INTEGER);
  CREATE TABLE IF NOT EXISTS view_record_key (one INTEGER PRIMARY KEY, key BLOB);`;

const TABLES = ['conversations', 'messages', 'changes', 'participants', 'people', 'facts'];
/** Of generations that earlier versions made. */
const EARLIER_TABLES = ['inbox'];

function generationTables(g: number): string {
  return `
  CREATE TABLE conversations_${g} (
    row INTEGER PRIMARY KEY, id BLOB NOT NULL, app BLOB NOT NULL, last BLOB NOT NULL,
    last_message BLOB, last_message_at BLOB, version INTEGER NOT NULL
  );
  CREATE UNIQUE INDEX conversations_id_${g} ON conversations_${g} (id);
  CREATE INDEX conversations_last_${g} ON conversations_${g} (app, last);
  CREATE TABLE messages_${g} (
    row INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, position BLOB NOT NULL,
    leaf BLOB NOT NULL, message BLOB NOT NULL, attempt INTEGER NOT NULL, record BLOB NOT NULL
  );
  CREATE UNIQUE INDEX messages_position_${g} ON messages_${g} (conversation, position);
  CREATE UNIQUE INDEX messages_leaf_${g} ON messages_${g} (leaf, message);
  CREATE TABLE changes_${g} (
    row INTEGER PRIMARY KEY, message BLOB NOT NULL, event BLOB NOT NULL, kind TEXT NOT NULL,
    position BLOB NOT NULL, attempt INTEGER NOT NULL, record BLOB NOT NULL
  );
  CREATE UNIQUE INDEX changes_event_${g} ON changes_${g} (message, event);
  CREATE TABLE participants_${g} (
    row INTEGER PRIMARY KEY, subject BLOB NOT NULL, conversation BLOB NOT NULL,
    since BLOB NOT NULL, last BLOB NOT NULL, gone INTEGER NOT NULL
  );
  CREATE UNIQUE INDEX participants_subject_${g} ON participants_${g} (subject, conversation);
  CREATE UNIQUE INDEX participants_conversation_${g} ON participants_${g} (conversation, subject);
  CREATE TABLE people_${g} (
    row INTEGER PRIMARY KEY, subject BLOB NOT NULL, app BLOB NOT NULL, since BLOB NOT NULL
  );
  CREATE UNIQUE INDEX people_subject_${g} ON people_${g} (subject);
  CREATE INDEX people_since_${g} ON people_${g} (app, since);
  CREATE TABLE facts_${g} (
    row INTEGER PRIMARY KEY, stream BLOB NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    position BLOB NOT NULL, attempt INTEGER NOT NULL, record BLOB NOT NULL
  );
  CREATE UNIQUE INDEX facts_name_${g} ON facts_${g} (stream, kind, name);`;
}

/** Opens the views' tables. */
export function openViewStoreSqlite(database: SqliteDatabase): ViewStore {
  database.define(COMMON);
  database.transaction(() => {
    for (const generation of generations(database)) {
      // An earlier version made it, or its number was changed from outside.
      if (!isWhole(database, generation)) dropGeneration(database, generation);
    }
    if (liveGeneration(database) === undefined) makeGeneration(database, firstGeneration());
  });
  return {
    async recordKey() {
      const row = database.get<{ key: unknown }>('SELECT key FROM view_record_key WHERE one = 1');
      return row?.key instanceof Uint8Array ? Buffer.from(row.key) : undefined;
    },
    async tellRecordKey(key) {
      database.run('INSERT OR REPLACE INTO view_record_key VALUES (1, ?)', key);
    },
    async apply(generation, changes: readonly ViewChange[]) {
      return database.transaction(() => {
        const sql = 'SELECT 1 FROM view_generations WHERE generation = ?';
        if (database.get(sql, generation) === undefined) return false;
        applyViewChanges(database, generation, changes);
        return true;
      });
    },
    async beginGeneration() {
      return database.transaction(() => {
        const live = liveGeneration(database)!;
        for (const generation of generations(database)) {
          if (generation !== live) dropGeneration(database, generation);
        }
        const next = nextGeneration(database, live);
        makeGeneration(database, next);
        database.run('UPDATE view_generations SET live = 0 WHERE generation = ?', next);
        return next;
      });
    },
    async switchTo(generation) {
      const isThere = database.transaction(() => {
        if (!generations(database).includes(generation)) return false;
        database.run('UPDATE view_generations SET live = (generation = ?)', generation);
        for (const other of generations(database)) {
          if (other !== generation) dropGeneration(database, other);
        }
        return true;
      });
      // What the old generation alone held is gone from the file, and from its log of writes.
      database.truncateWal();
      return isThere;
    },
    ...createViewReaderSqlite(database, () => liveGeneration(database)!),
  };
}

function liveGeneration(database: SqliteDatabase): number | undefined {
  const sql = 'SELECT generation FROM view_generations WHERE live = 1';
  return database.get<{ generation: number }>(sql)?.generation;
}

function isWhole(database: SqliteDatabase, generation: number): boolean {
  const sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN (KEYS)";
  const names = TABLES.map((table) => `${table}_${generation}`);
  return database.allIn(sql, names).length === names.length;
}

function generations(database: SqliteDatabase): number[] {
  const sql = 'SELECT generation FROM view_generations';
  return database.all<{ generation: number }>(sql).map((row) => row.generation);
}

/** Never a number that was used before: whoever still fills a dropped one must find it gone. */
function nextGeneration(database: SqliteDatabase, live: number): number {
  const sql = 'SELECT generation FROM view_generation_newest';
  const newest = database.get<{ generation: number }>(sql)?.generation ?? 0;
  const next = Math.max(newest, live) + 1;
  database.run('INSERT OR REPLACE INTO view_generation_newest VALUES (1, ?)', next);
  return next;
}

function makeGeneration(database: SqliteDatabase, generation: number): void {
  database.define(generationTables(generation));
  database.run('INSERT INTO view_generations VALUES (?, 1)', generation);
}

function dropGeneration(database: SqliteDatabase, generation: number): void {
  for (const table of [...TABLES, ...EARLIER_TABLES])
    database.define(`DROP TABLE IF EXISTS ${table}_${generation}`);
  database.run('DELETE FROM view_generations WHERE generation = ?', generation);
}
