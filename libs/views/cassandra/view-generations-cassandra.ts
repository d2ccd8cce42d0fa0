/** Which generations of views there are in Cassandra, and which of them serves. */

import { LetheError } from '../../base/lethe-error.ts';
import type { CassandraDatabase } from '../../engines/cassandra-database.ts';
import { firstGeneration } from '../first-generation.ts';
import { generationDrops, generationTables } from './view-schema-cassandra.ts';

const STATE = 'SELECT newest, live FROM view_generations WHERE one = 0 LIMIT 1';
const BORN = 'UPDATE view_generations SET newest = ?, live = ? WHERE one = 0 IF live = null';
const TAKE = 'UPDATE view_generations SET newest = ? WHERE one = 0 IF newest = ?';
const SERVE = 'UPDATE view_generations SET live = ? WHERE one = 0 IF live > 0';
const THERE = 'SELECT generation FROM view_generations WHERE one = 0 AND generation = ?';
const ALL = 'SELECT generation FROM view_generations WHERE one = 0';
const ADD = 'INSERT INTO view_generations (one, generation, made) VALUES (0, ?, 1)';
// Writes nothing new, and fails when another rebuild has taken the generation away.
const STILL = 'UPDATE view_generations SET made = 1 WHERE one = 0 AND generation = ? IF EXISTS';
const DROP = 'DELETE FROM view_generations WHERE one = 0 AND generation = ? IF EXISTS';
// How long a reader may go on naming a generation after another one serves.
const LIVE_KNOWN_MS = 500;
const ATTEMPTS_MAX = 8;

interface State {
  readonly newest: number;
  readonly live: number;
}

/** The generations of one keyspace. */
export class ViewGenerations {
  readonly #database: CassandraDatabase;
  #known: { readonly live: number; readonly sinceMs: number } | undefined;
  #looking: Promise<number> | undefined;

  constructor(database: CassandraDatabase) {
    this.#database = database;
  }

  /** The generation that serves; the first is made when there is none. */
  live(): Promise<number> {
    const nowMs = performance.now();
    if (this.#known && nowMs - this.#known.sinceMs < LIVE_KNOWN_MS) {
      return Promise.resolve(this.#known.live);
    }
    // All who ask meanwhile wait for this look: each would make tables for a first one.
    this.#looking ??= this.#look(nowMs).finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(sinceMs: number): Promise<number> {
    const live = (await this.#state())?.live ?? (await this.#makeFirst());
    this.#known = { live, sinceMs };
    return live;
  }

  async isThere(generation: number): Promise<boolean> {
    return (await this.#database.getSerial(THERE, generation)) !== undefined;
  }

  /** Makes an empty one; what an unfinished rebuild left is removed first. */
  async begin(): Promise<number> {
    const live = await this.live();
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const { newest } = (await this.#state())!;
      await this.#dropOthers(live);
      const next = newest + 1;
      // Never a number that was used before: whoever still fills a dropped one must find it gone.
      const take = { query: TAKE, params: [next, newest] };
      if (!(await this.#database.applySettled([take]))) continue;
      await this.#makeTables(next);
      const add = { query: `${ADD} IF NOT EXISTS`, params: [next] };
      await this.#database.applySettled([add], () => this.isThere(next));
      return next;
    }
    const text = 'other rebuilds of the views take all numbers: try again';
    throw new LetheError('CONTENDED', text, { retryable: true });
  }

  /** Lets one serve, in the same write that finds it there; the others go. */
  async switchTo(generation: number): Promise<boolean> {
    const statements = [
      { query: SERVE, params: [generation] },
      { query: STILL, params: [generation] },
    ];
    const isLive = async () => (await this.#state())?.live === generation;
    if (!(await this.#database.applySettled(statements, isLive))) return false;
    this.#known = undefined;
    await this.#dropOthers(generation);
    return true;
  }

  async #state(): Promise<State | undefined> {
    const row = await this.#database.getSerial<{ [Name in keyof State]: number | null }>(STATE);
    return row?.live == null ? undefined : { newest: row.newest!, live: row.live };
  }

  async #makeFirst(): Promise<number> {
    const first = firstGeneration();
    await this.#makeTables(first);
    const statements = [
      { query: BORN, params: [first, first] },
      { query: ADD, params: [first] },
    ];
    await this.#database.applySettled(statements, async () => (await this.#state()) !== undefined);
    const { live } = (await this.#state())!;
    // Another process was first.
    if (live !== first) await this.#dropTables(first);
    return live;
  }

  async #makeTables(generation: number): Promise<void> {
    for (const statement of generationTables(generation)) await this.#database.define(statement);
  }

  /** First one is gone for whoever fills it, then its tables go. */
  async #dropOthers(kept: number): Promise<void> {
    const rows = await this.#database.allSerial<{ generation: number | null }>(ALL);
    for (const { generation } of rows) {
      if (generation === null || generation === kept) continue;
      const drop = { query: DROP, params: [generation] };
      await this.#database.applySettled([drop]);
      await this.#dropTables(generation);
    }
  }

  async #dropTables(generation: number): Promise<void> {
    for (const statement of generationDrops(generation)) await this.#database.define(statement);
  }
}
