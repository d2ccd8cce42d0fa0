/**
 * One connection to one SQLite file, with the settings every store here needs: WAL, full fsync at
 * commit, secure_delete, a time-out instead of an error when another process writes. Adapters
 * share a connection when they lie in one file, so that their writes can share a transaction.
 */
import { existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { backup, DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolders } from '../base/durable-file.ts';
import { type ErrorCode, LetheError } from '../base/lethe-error.ts';

/** The format of the data folder; a folder of a newer one is refused. */
export const DATA_FORMAT = 1;
const BUSY_TIMEOUT_MS = 15_000;
// Fewer, larger checkpoints: with 1,000 pages a bulk load spends a third of its time on them.
const CHECKPOINT_PAGES = 8_000;
const COPY_ATTEMPTS_MAX = 10;
const COPY_RETRY_MS = 200;
const KEYS_PER_QUERY = 32;
const KEY_SLOTS = new Array(KEYS_PER_QUERY).fill('?').join(',');
const SQLITE_BUSY = 5;
/** SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN. */
const SQLITE_DENIED: readonly number[] = [3, 8, 14];
const SQLITE_FULL = 13;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/** Is a file of SQLite as it was written, as far as SQLite can tell? Nothing is changed. */
export function isWholeFile(file: string): boolean {
  try {
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      const [found] = database.prepare('PRAGMA quick_check(1)').all();
      return Object.values(found ?? {})[0] === 'ok';
    } finally {
      database.close();
    }
  } catch {
    return false;
  }
}

/** A lock that is held. The system lets go of it with the process. */
export interface FileLock {
  release(): void;
}

/**
 * Takes the lock that this file stands for, for work that one process at a time may do. Undefined:
 * another process has it.
 */
export function lockFile(file: string): FileLock | undefined {
  makeFolders(dirname(file));
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    // Without a journal: a kill would leave its file.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
  return {
    release() {
      // While it is held: the next one makes the file anew.
      rmSync(file, { force: true });
      database.close();
    },
  };
}

/** Values that a statement takes. */
export type SqlValue = SQLInputValue;

/** A connection. All methods are synchronous; a transaction inside a transaction joins it. */
export class SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #unreachable: ErrorCode;
  readonly #file: string;
  #depth = 0;
  #open = true;

  /**
   * Opens (and makes) the file. Without `fsync` a commit survives the end of the process, but the
   * last ones may be lost with the machine: only for what can be done again. Throws FORMAT_UNKNOWN
   * when it was written by a newer Lethe, the given code when it cannot be opened.
   */
  constructor(file: string, unreachable: ErrorCode, options: { fsync: boolean } = { fsync: true }) {
    this.#unreachable = unreachable;
    this.#file = file;
    try {
      if (file !== ':memory:' && !existsSync(dirname(file))) makeFolders(dirname(file));
      this.#database = new DatabaseSync(file);
    } catch (cause) {
      const why = 'this user may not, it is no file, or its folder cannot be made';
      const text = `cannot open the SQLite file ${file}: ${why}`;
      throw new LetheError(unreachable, text, { cause });
    }
    this.guard(() => this.#configure(options.fsync ? 'FULL' : 'NORMAL'));
  }

  #configure(synchronous: 'FULL' | 'NORMAL'): void {
    this.#database.exec(`PRAGMA busy_timeout=${BUSY_TIMEOUT_MS}`);
    const { user_version: format } = this.#database.prepare('PRAGMA user_version').get() as {
      user_version: number;
    };
    if (format > DATA_FORMAT) {
      throw new LetheError(
        'FORMAT_UNKNOWN',
        `${this.#file} has data format ${format}, this Lethe knows up to ${DATA_FORMAT}: ` +
          'use a newer Lethe',
      );
    }
    this.#database.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=${synchronous};
      PRAGMA secure_delete=ON; PRAGMA wal_autocheckpoint=${CHECKPOINT_PAGES};
      PRAGMA cache_size=-8000`);
    if (format === 0) this.#database.exec(`PRAGMA user_version=${DATA_FORMAT}`);
  }

  /** Runs statements that make tables. */
  define(sql: string): void {
    this.guard(() => this.#database.exec(sql));
  }

  /** Adds a column to a table that was made without it. */
  addColumn(table: string, column: string): void {
    const [name] = column.split(' ');
    const columns = this.all<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`);
    if (!columns.some((one) => one.name === name)) {
      this.define(`ALTER TABLE ${table} ADD COLUMN ${column}`);
    }
  }

  /** The prepared statement of this text; each text is prepared once. */
  statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.guard(() => this.#database.prepare(sql));
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** All rows. */
  all<Row>(sql: string, ...values: SqlValue[]): Row[] {
    try {
      return this.statement(sql).all(...values) as Row[];
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** The first rows, up to the one that is enough: what lies behind it is not read. */
  allUntil<Row>(sql: string, values: readonly SqlValue[], isEnough: (row: Row) => boolean): Row[] {
    const rows: Row[] = [];
    try {
      for (const row of this.statement(sql).iterate(...values)) {
        rows.push(row as Row);
        if (isEnough(row as Row)) break;
      }
      return rows;
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** The first row. */
  get<Row>(sql: string, ...values: SqlValue[]): Row | undefined {
    try {
      return this.statement(sql).get(...values) as Row | undefined;
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /**
   * The rows whose key is among `keys`, in no order. `sql` ends in "IN (KEYS)"; one look-up of many
   * keys costs a third of as many single ones.
   */
  allIn<Row>(sql: string, keys: readonly SqlValue[]): Row[] {
    const rows: Row[] = [];
    let many: string | undefined;
    for (let at = 0; at < keys.length; ) {
      const size = keys.length - at >= KEYS_PER_QUERY ? KEYS_PER_QUERY : 1;
      if (size > 1) many ??= sql.replace('KEYS', KEY_SLOTS);
      const text = size > 1 ? many! : sql.replace('KEYS', '?');
      for (const row of this.all<Row>(text, ...keys.slice(at, at + size))) rows.push(row);
      at += size;
    }
    return rows;
  }

  /** Runs a change; the number of rows it changed. */
  run(sql: string, ...values: SqlValue[]): number {
    try {
      return this.statement(sql).run(...values).changes as number;
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Runs work in one transaction that writes; rolls back when it throws. */
  transaction<Result>(work: () => Result): Result {
    if (this.#depth > 0) return work();
    return this.guard(() => {
      this.statement('BEGIN IMMEDIATE').run();
      this.#depth += 1;
      try {
        const result = work();
        this.statement('COMMIT').run();
        return result;
      } catch (error) {
        this.#rollback();
        throw error;
      } finally {
        this.#depth -= 1;
      }
    });
  }

  /** Runs work that is undone as a whole when it answers false. */
  attempt(work: () => boolean): boolean {
    this.statement('SAVEPOINT attempt').run();
    let done = false;
    try {
      done = work();
      return done;
    } finally {
      if (!done) this.statement('ROLLBACK TO attempt').run();
      this.statement('RELEASE attempt').run();
    }
  }

  #rollback(): void {
    try {
      this.statement('ROLLBACK').run();
    } catch {
      // SQLite rolled back by itself (disk full): there is no transaction left.
    }
  }

  /** Copies the WAL into the file and empties it, so that removed bytes are gone from both. */
  truncateWal(): boolean {
    const row = this.get<{ busy: number }>('PRAGMA wal_checkpoint(TRUNCATE)');
    return row?.busy === 0;
  }

  /** Copies everything that is committed into a new file, consistently, beside live writers. */
  async copyTo(file: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await backup(this.#database, file);
        return;
      } catch (error) {
        // So Node tells that a lock was held when it began. Nothing was copied.
        const isBusy = error instanceof Error && error.message === 'not an error';
        if (!isBusy || attempt === COPY_ATTEMPTS_MAX) throw this.#explain(error);
      }
      rmSync(file, { force: true });
      await sleep(COPY_RETRY_MS);
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#statements.clear();
    this.#database.close();
  }

  /** Gives errors of SQLite their code and a sentence. */
  guard<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #explain(error: unknown): unknown {
    if (error instanceof LetheError || !(error instanceof Error)) return error;
    const primary = Number((error as { errcode?: number }).errcode ?? 0) & 0xff;
    const options = { cause: error };
    if (primary === SQLITE_FULL) {
      const advice = 'make room and try again; nothing that was acknowledged is lost';
      return new LetheError('STORE_FULL', `no room to write ${this.#file}: ${advice}`, options);
    }
    if (primary === SQLITE_BUSY) {
      const text = `${this.#file} is locked by another process`;
      return new LetheError(this.#unreachable, text, { ...options, retryable: true });
    }
    if (primary === SQLITE_NOTADB || primary === SQLITE_CORRUPT) {
      const text = `${this.#file} is damaged or no SQLite file: restore it from a backup`;
      return new LetheError(this.#unreachable, text, options);
    }
    if (SQLITE_DENIED.includes(primary)) {
      const text = `cannot write ${this.#file}: this user may not write it, or its folder`;
      return new LetheError(this.#unreachable, text, options);
    }
    if (primary > 0) {
      const text = `${this.#file}: SQLite error ${primary}`;
      return new LetheError(this.#unreachable, text, options);
    }
    if ((error as { code?: string }).code === 'ERR_OUT_OF_RANGE') {
      const text = `${this.#file} holds a number that is larger than any that Lethe writes`;
      return new LetheError(this.#unreachable, `${text}: it was changed from outside`, options);
    }
    return error;
  }
}
