/** Makes and upgrades what the configured engines need before anybody serves from them. */

import type { Configuration } from '../configuration/configuration.ts';
import type { CassandraEngine, KafkaEngine, SqliteEngine } from '../engines/engine-urls.ts';

/** What was done to one engine. */
export interface Migrated {
  readonly engine: string;
  readonly done: string;
}

/**
 * Makes the topics and the keyspaces, and applies the steps that are missing; embedded engines need
 * nothing. Can be repeated. Throws CONFIGURATION_INVALID (a setting of a topic is wrong), or an
 * engine's "unreachable".
 */
export async function migrateEngines(configuration: Configuration): Promise<Migrated[]> {
  const { log, vault, state, views } = configuration;
  const done: Migrated[] = [];
  if (log.engine === 'kafka') done.push(await migrateLog(log));
  const keyspaces = {
    vault: inCassandra(vault),
    state: inCassandra(state),
    views: inCassandra(views),
  };
  if (Object.values(keyspaces).some((one) => one !== undefined)) {
    const { migrateCassandra } = await import('./open-cassandra.ts');
    for (const [engine, steps] of Object.entries(await migrateCassandra(keyspaces))) {
      done.push({ engine, done: steps === 0 ? 'nothing to do' : `${steps} steps applied` });
    }
  }
  return done;
}

async function migrateLog(engine: KafkaEngine): Promise<Migrated> {
  const { createKafka } = await import('../event-log/kafka/kafka-client.ts');
  const { makeTopics } = await import('../event-log/kafka/kafka-topic.ts');
  const made = await makeTopics(createKafka(engine), engine);
  const done = made.length === 0 ? 'nothing to do' : `topics made: ${made.join(', ')}`;
  return { engine: 'log', done };
}

function inCassandra(of: SqliteEngine | CassandraEngine): CassandraEngine | undefined {
  return of.engine === 'cassandra' ? of : undefined;
}
