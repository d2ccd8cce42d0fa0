/** The SQLite connections of one process. */
import type { ErrorCode } from '../base/lethe-error.ts';
import { SqliteDatabase } from '../engines/sqlite-database.ts';

export interface Connections {
  /** One connection for each (user, file): transactions of one user never hold up another's. */
  open(user: string, file: string, code: ErrorCode): SqliteDatabase;
  /** Uses this connection for (user, file) from now on. */
  adopt(user: string, file: string, database: SqliteDatabase): void;
  close(): void;
}

/** Opens none yet: each is opened when it is asked for. */
export function openConnections(): Connections {
  const opened = new Map<string, SqliteDatabase>();
  return {
    open(user, file, code) {
      const name = `${user} ${file}`;
      const database = opened.get(name) ?? new SqliteDatabase(file, code);
      opened.set(name, database);
      return database;
    },
    adopt(user, file, database) {
      opened.set(`${user} ${file}`, database);
    },
    close() {
      for (const database of opened.values()) database.close();
      opened.clear();
    },
  };
}
