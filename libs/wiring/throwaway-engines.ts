/**
 * Stores for a demonstration or a test on shared servers: under names of their own, and removed as
 * a whole afterwards. Nothing here is for data that anybody wants to keep.
 */

import type { KeyId } from '../base/ids.ts';
import type { Configuration } from '../configuration/configuration.ts';
import type { CassandraEngine } from '../engines/engine-urls.ts';
import { removePages } from './open-engines.ts';

const CASSANDRA_NAMES = ['LETHE_VIEWS', 'LETHE_VAULT', 'LETHE_STATE'] as const;

/**
 * The engines of `env` that are servers, each under a name of its own; empty when all are embedded.
 * `name` is a word of lower-case letters and digits.
 */
export function throwawayVariables(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
): Record<string, string> {
  const variables: Record<string, string> = {};
  if (env.LETHE_LOG?.startsWith('kafka:')) {
    const [base, query] = env.LETHE_LOG.split('?');
    const settings = new URLSearchParams(query);
    settings.set('prefix', name);
    variables.LETHE_LOG = `${base}?${settings}`;
  }
  for (const one of CASSANDRA_NAMES) {
    const match = /^(cassandra:\/\/[^/]+\/)([^?]+)(\?.*)$/.exec(env[one] ?? '');
    if (match === null) continue;
    const keyspace = `${name}_${one.slice('LETHE_'.length).toLowerCase()}`;
    variables[one] = `${match[1]}${keyspace}${match[3]}`;
  }
  if (env.LETHE_CACHE?.startsWith('redis:')) {
    const [base, query] = env.LETHE_CACHE.split('?');
    const settings = new URLSearchParams(query);
    settings.set('prefix', name);
    variables.LETHE_CACHE = `${base}?${settings}`;
  }
  if (env.LETHE_KMS?.startsWith('aws-kms:')) variables.LETHE_KMS = env.LETHE_KMS;
  return variables;
}

/** Removes the topics, the keyspaces and (by the time it sets) the KMS key of a store. */
export async function removeEngines(configuration: Configuration, kmsKey?: string): Promise<void> {
  const { log, vault, state, views, kms } = configuration;
  const keyspaces = [vault, state, views].filter((one) => one.engine === 'cassandra');
  if (kms.engine === 'aws-kms' && kmsKey !== undefined) {
    const { openRootKmsAws } = await import('../vault/keys/aws/root-kms-aws.ts');
    await openRootKmsAws(kms).destroyKey(kmsKey as KeyId);
  }
  if (log.engine === 'kafka') {
    const { createKafka } = await import('../event-log/kafka/kafka-client.ts');
    const { removeTopics } = await import('../event-log/kafka/kafka-topic.ts');
    await removeTopics(createKafka(log), log);
  }
  await removePages(configuration);
  for (const one of keyspaces) await removeKeyspace(one);
}

async function removeKeyspace(engine: CassandraEngine): Promise<void> {
  const { CassandraDatabase } = await import('../engines/cassandra-database.ts');
  const cluster = { ...engine, keyspace: 'system' };
  const database = new CassandraDatabase(cluster, 'STATE_UNREACHABLE', 'quorum');
  try {
    await database.define(`DROP KEYSPACE IF EXISTS ${engine.keyspace}`);
  } finally {
    await database.close();
  }
}
