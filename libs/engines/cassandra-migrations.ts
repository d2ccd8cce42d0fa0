/**
 * Schemas of Cassandra keyspaces: numbered steps, applied by `lethe migrate` alone, in their order
 * and once each. A process that finds an older or newer schema refuses to serve.
 */

import { type ErrorCode, LetheError } from '../base/lethe-error.ts';
import { CassandraDatabase } from './cassandra-database.ts';
import type { CassandraEngine } from './engine-urls.ts';

/** The tables of one area; a step that was released is never changed, a new one is added. */
export interface CassandraSchema {
  readonly area: string;
  readonly steps: readonly (readonly string[])[];
}

const VERSIONS = 'CREATE TABLE IF NOT EXISTS schema_versions (area text PRIMARY KEY, version int)';

/**
 * Brings a keyspace up to these schemas, and makes it if it is not there. Steps are repeatable, so
 * that what was interrupted is run again. The number of steps that were applied.
 */
export async function migrateKeyspace(
  engine: CassandraEngine,
  unreachable: ErrorCode,
  schemas: readonly CassandraSchema[],
): Promise<number> {
  const { keyspace, dataCenter, replication } = engine;
  const { keyspace: _, ...withoutKeyspace } = engine;
  const cluster = new CassandraDatabase(
    { ...withoutKeyspace, keyspace: 'system' },
    unreachable,
    'quorum',
  );
  try {
    await cluster.define(
      `CREATE KEYSPACE IF NOT EXISTS ${keyspace} WITH replication = ` +
        `{'class': 'NetworkTopologyStrategy', '${dataCenter}': ${replication}}`,
    );
  } finally {
    await cluster.close();
  }
  const database = new CassandraDatabase(engine, unreachable, 'quorum');
  try {
    await database.define(VERSIONS);
    let applied = 0;
    for (const schema of schemas) applied += await migrateArea(database, schema);
    return applied;
  } finally {
    await database.close();
  }
}

async function migrateArea(
  database: CassandraDatabase,
  { area, steps }: CassandraSchema,
): Promise<number> {
  const from = await versionOf(database, area);
  if (from > steps.length) throw newer(area, from);
  for (const [i, step] of steps.slice(from).entries()) {
    for (const statement of step) await database.define(statement);
    const query = 'INSERT INTO schema_versions (area, version) VALUES (?, ?)';
    await database.run(query, area, from + i + 1);
  }
  return steps.length - from;
}

/** Throws CONFIGURATION_INVALID unless the keyspace has exactly this schema. */
export async function assertMigrated(
  database: CassandraDatabase,
  { area, steps }: CassandraSchema,
): Promise<void> {
  const version = await versionOf(database, area);
  if (version === steps.length) return;
  if (version > steps.length) throw newer(area, version);
  const text = `the Cassandra schema of the ${area} has version ${version}, this Lethe needs`;
  throw new LetheError('CONFIGURATION_INVALID', `${text} ${steps.length}: run lethe migrate`);
}

async function versionOf(database: CassandraDatabase, area: string): Promise<number> {
  const query = 'SELECT version FROM schema_versions WHERE area = ?';
  return (await database.get<{ version: number }>(query, area))?.version ?? 0;
}

function newer(area: string, version: number): LetheError {
  const text = `the Cassandra schema of the ${area} has version ${version}: use a newer Lethe`;
  return new LetheError('FORMAT_UNKNOWN', text);
}
