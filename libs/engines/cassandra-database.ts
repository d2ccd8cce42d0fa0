/**
 * One session with a Cassandra keyspace, with what every store here needs. Statements are prepared
 * and bound. Only what can be repeated is tried again. Results are paged, parallel work is bounded.
 * A conditional write whose outcome is unknown is told apart from one that was not applied.
 *
 * Consistency: vault, feed, directory and state read and write at QUORUM (SERIAL for conditions),
 * never at LOCAL levels: an erasure must hold in every data centre. Views use LOCAL_QUORUM.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, types } from 'cassandra-driver';
import cassandra from 'cassandra-driver';
import { type ErrorCode, LetheError } from '../base/lethe-error.ts';
import type { CassandraEngine } from './engine-urls.ts';
import { readTlsFiles } from './tls-files.ts';

const { consistencies, responseErrorCodes } = cassandra.types;
const PARALLEL_MAX = 64;
const READ_TIMEOUT_MS = 12_000;
const FETCH_ROWS = 500;
const ATTEMPTS_MAX = 8;
/** A call that took longer than this is not begun anew: whoever waits is told. */
const REPEAT_WITHIN_MS = 6_000;
const RETRY_MS = 50;
/** How long nodes may take to hear of a definition. */
const AGREE_WITHIN_S = 60;
const AGREE_LOOK_MS = 250;
const RECONNECT_MS = 1_000;

/** How many copies must have answered. */
export type ConsistencyLevel = 'quorum' | 'localQuorum';

/** A statement with its values. */
export interface CqlStatement {
  readonly query: string;
  readonly params: readonly unknown[];
}

/** What a conditional write came to; `unknown`: it may or may not be applied, read it back. */
export type ConditionalOutcome = 'applied' | 'notApplied' | 'unknown';

/** A session. Failures of every method: the code it was opened with (retryable). */
export class CassandraDatabase {
  readonly #client: Client;
  readonly #unreachable: ErrorCode;
  readonly #consistency: types.consistencies;
  #connecting: Promise<void> | undefined;

  constructor(engine: CassandraEngine, unreachable: ErrorCode, level: ConsistencyLevel) {
    this.#unreachable = unreachable;
    this.#consistency = level === 'quorum' ? consistencies.quorum : consistencies.localQuorum;
    this.#client = new cassandra.Client(clientOptions(engine, this.#consistency));
    // The driver tells of lost hosts by events; what matters reaches callers as failed calls.
    this.#client.on('error', () => undefined);
  }

  /** All rows of a query, page after page. */
  async all<Row>(query: string, ...params: unknown[]): Promise<Row[]> {
    const rows: Row[] = [];
    for await (const row of this.each<Row>(query, ...params)) rows.push(row);
    return rows;
  }

  /** The first row. */
  async get<Row>(query: string, ...params: unknown[]): Promise<Row | undefined> {
    const result = await this.#execute(query, params, { isIdempotent: true });
    return (result.first() ?? undefined) as Row | undefined;
  }

  /** The first row as every write that was answered has left it, conditional ones included. */
  async getSerial<Row>(query: string, ...params: unknown[]): Promise<Row | undefined> {
    return (await this.allSerial<Row>(query, ...params))[0];
  }

  /** All rows of one partition, at SERIAL. */
  async allSerial<Row>(query: string, ...params: unknown[]): Promise<Row[]> {
    const options = { isIdempotent: true, consistency: consistencies.serial };
    return (await this.#execute(query, params, options)).rows as Row[];
  }

  /** Rows one after another; pages are fetched as they are needed. */
  async *each<Row>(query: string, ...params: unknown[]): AsyncIterable<Row> {
    let pageState: string | undefined;
    do {
      const page = { fetchSize: FETCH_ROWS, ...(pageState && { pageState }) };
      const result = await this.#execute(query, params, { isIdempotent: true, ...page });
      for (const row of result.rows) yield row as Row;
      pageState = result.pageState ?? undefined;
    } while (pageState !== undefined);
  }

  /** A write that can be repeated. */
  async run(query: string, ...params: unknown[]): Promise<void> {
    await this.#execute(query, params, { isIdempotent: true });
  }

  /** Writes that can be repeated, a bounded number of them at a time, in no promised order. */
  async runAll(statements: readonly CqlStatement[]): Promise<void> {
    await inParallel(statements, ({ query, params }) => this.run(query, ...params));
  }

  /** Runs work on each item, a bounded number of them at a time; the results in their order. */
  mapAll<Item, Result>(
    items: readonly Item[],
    work: (item: Item) => Promise<Result>,
  ): Promise<Result[]> {
    return inParallel(items, work);
  }

  /** Conditional writes of one partition, together or not at all. Never repeated by itself. */
  async apply(statements: readonly CqlStatement[]): Promise<ConditionalOutcome> {
    await this.#connect();
    const options = {
      prepare: true,
      isIdempotent: false,
      consistency: this.#consistency,
      serialConsistency: consistencies.serial,
    };
    try {
      const [only] = statements;
      const result =
        statements.length === 1
          ? await this.#client.execute(only!.query, [...only!.params], options)
          : await this.#client.batch(
              statements.map(({ query, params }) => ({ query, params: [...params] })),
              { ...options, logged: true },
            );
      return result.wasApplied() ? 'applied' : 'notApplied';
    } catch (error) {
      if (isUnknownOutcome(error)) return 'unknown';
      throw this.#explain(error);
    }
  }

  /**
   * A conditional write that says by itself whether it was applied: `isMine` reads back when the
   * outcome is unknown, and it is tried again when nothing of it is there. Without `isMine` it is
   * only tried again, and may say false though it was applied: where that does no harm.
   */
  async applySettled(
    statements: readonly CqlStatement[],
    isMine: () => Promise<boolean> = async () => false,
  ): Promise<boolean> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const outcome = await this.apply(statements);
      if (outcome === 'applied') return true;
      if (await this.#wasMine(outcome, attempt, isMine)) return true;
      if (outcome === 'notApplied') return false;
      await pauseBefore(attempt);
    }
    throw new LetheError(this.#unreachable, 'Cassandra does not settle a write: try again', {
      retryable: true,
    });
  }

  // A write that an earlier attempt applied without saying so makes the next one "not applied".
  async #wasMine(outcome: ConditionalOutcome, attempt: number, isMine: () => Promise<boolean>) {
    return (outcome === 'unknown' || attempt > 0) && (await isMine());
  }

  /**
   * A definition that can be repeated. When it resolves, all nodes that are up have it: a node that
   * hears of a schema late would refuse what is asked of it next.
   */
  async define(query: string): Promise<void> {
    const untilMs = performance.now() + AGREE_WITHIN_S * 1_000;
    while (!(await this.#isDefined(query, untilMs))) {
      if (performance.now() >= untilMs) throw this.#disagreeing();
      await sleep(AGREE_LOOK_MS);
    }
  }

  async #isDefined(query: string, untilMs: number): Promise<boolean> {
    try {
      await this.#connect();
      const { info } = await this.#client.execute(query);
      return (info as typeof info & { isSchemaInAgreement: boolean }).isSchemaInAgreement;
    } catch (error) {
      const explained = this.#explain(error);
      // A node that has just come up, or was busy, knows older schemas only, or says nothing.
      const isSilent = (error as Error).name === 'OperationTimedOutError';
      const mayCome = isSilent || isUnheardOf(explained.cause) || isServerTimeout(error);
      if (performance.now() < untilMs && mayCome) return false;
      throw explained;
    }
  }

  #disagreeing(): LetheError {
    const text = 'Cassandra: its nodes have different schemas: look at nodetool describecluster';
    return new LetheError(this.#unreachable, text, { retryable: true });
  }

  /** Asks every node for what it has by itself: none where it refuses; undefined: no answer. */
  async eachNode<Row>(query: string): Promise<{ node: string; rows: Row[] | undefined }[]> {
    await this.#connect();
    const how = { prepare: true, consistency: consistencies.one };
    return inParallel(this.#client.hosts.values(), async (host) => {
      const asked = this.#client.execute(query, [], { ...how, host });
      const rows = await asked.then(
        (result) => result.rows as unknown as Row[],
        (error) => (error instanceof cassandra.errors.ResponseError ? [] : undefined),
      );
      return { node: host.address, rows };
    });
  }

  async close(): Promise<void> {
    await this.#client.shutdown().catch(() => undefined);
  }

  // What comes here can be repeated, so a time-out that a server tells of is tried again. A node
  // may have just died, or somebody else's conditional write must be completed first.
  async #execute(query: string, params: readonly unknown[], options: object) {
    await this.#connect();
    const how = { prepare: true, consistency: this.#consistency, ...options };
    const untilMs = performance.now() + REPEAT_WITHIN_MS;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#client.execute(query, [...params], how);
      } catch (error) {
        const isLate = performance.now() >= untilMs;
        if (isLate || !isServerTimeout(error)) throw this.#explain(error);
        await pauseBefore(attempt);
      }
    }
  }

  // Shared by concurrent first uses; a failed one is tried anew by the next call.
  #connect(): Promise<void> {
    this.#connecting ??= this.#client.connect().catch((error: unknown) => {
      this.#connecting = undefined;
      throw this.#explain(error);
    });
    return this.#connecting;
  }

  // Messages of the driver can repeat bound values and addresses: only its class is told.
  #explain(error: unknown): LetheError {
    if (error instanceof LetheError) return error;
    const { name = 'unknown', code } = error as { name?: string; code?: number };
    const isRefused = code === responseErrorCodes.invalid;
    const why = isRefused
      ? isAboutSchema(error)
        ? 'a table is missing or of another version: run lethe migrate'
        : 'it refuses what is asked of it'
      : isTooFew(error)
        ? 'too few of its nodes know each other to be up: look at nodetool status, and try again'
        : name;
    const text = `Cassandra: ${why}${code === undefined ? '' : ` (code ${code})`}`;
    return new LetheError(this.#unreachable, text, { retryable: !isRefused, cause: error });
  }
}

/**
 * Has a row all cells that every writer writes? One that lacks some was written by somebody else: a
 * cell can be written, or removed, by itself.
 */
export function hasCells<Row extends object>(row: Row, cells: readonly (keyof Row)[]): boolean {
  return cells.every((cell) => row[cell] !== null && row[cell] !== undefined);
}

function clientOptions(engine: CassandraEngine, consistency: types.consistencies) {
  const { hosts, port, dataCenter, keyspace, username, password, tls } = engine;
  return {
    contactPoints: [...hosts],
    localDataCenter: dataCenter,
    keyspace,
    protocolOptions: { port, maxSchemaAgreementWaitSeconds: AGREE_WITHIN_S },
    pooling: { maxRequestsPerConnection: 2_048 },
    socketOptions: { readTimeout: READ_TIMEOUT_MS },
    queryOptions: { prepare: true, consistency },
    // A node that comes back is used again within a second, not after the driver's ten minutes.
    policies: {
      reconnection: new cassandra.policies.reconnection.ConstantReconnectionPolicy(RECONNECT_MS),
    },
    ...(username !== undefined && {
      authProvider: new cassandra.auth.PlainTextAuthProvider(username, password ?? ''),
    }),
    ...(tls !== undefined && { sslOptions: { rejectUnauthorized: true, ...readTlsFiles(tls) } }),
  };
}

function pauseBefore(attempt: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, RETRY_MS * 2 ** attempt * Math.random()));
}

/** A keyspace or table that the node which was asked does not know. */
function isUnheardOf(error: unknown): boolean {
  const { code, message } = error as { code?: number; message?: string };
  return code === responseErrorCodes.invalid && /does not exist|unconfigured/.test(message ?? '');
}

/** Of what it refuses, only this is about tables: https://cassandra.apache.org/doc/5.0/ (CQL) */
function isAboutSchema(error: unknown): boolean {
  const text = error instanceof Error ? error.message : '';
  return isUnheardOf(error) || /undefined|unknown (identifier|keyspace|table|column)/i.test(text);
}

/** Too few nodes are up for what was asked, or the one that was asked does not know it yet. */
function isTooFew(error: unknown): boolean {
  const { code, innerErrors } = error as { code?: number; innerErrors?: Record<string, unknown> };
  if (code === responseErrorCodes.unavailableException) return true;
  return Object.values(innerErrors ?? {}).some((one) => isTooFew(one ?? {}));
}

function isServerTimeout(error: unknown): boolean {
  const { code } = error as { code?: number };
  return code === responseErrorCodes.readTimeout || code === responseErrorCodes.writeTimeout;
}

function isUnknownOutcome(error: unknown): boolean {
  const { code, name } = error as { code?: number; name?: string };
  if (code === responseErrorCodes.writeTimeout || code === responseErrorCodes.serverError)
    return true;
  if (code === responseErrorCodes.writeFailure || code === CAS_WRITE_UNKNOWN) return true;
  return name === 'OperationTimedOutError' || name === 'DriverError' || isHostGone(error);
}

const CAS_WRITE_UNKNOWN = 0x1700;

// A host that went away in the middle has perhaps done it.
function isHostGone(error: unknown): boolean {
  const { innerErrors } = error as { innerErrors?: Record<string, { name?: string }> };
  if (innerErrors === undefined) return false;
  return Object.values(innerErrors).some((one) => one?.name !== undefined);
}

async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  let at = 0;
  const worker = async () => {
    while (at < items.length) {
      const i = at++;
      results[i] = await work(items[i]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_MAX, items.length) }, worker));
  return results;
}
