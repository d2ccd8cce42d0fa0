/** Settings of Cassandra's nodes that what Lethe promises rests on. */
import type { CassandraDatabase } from './cassandra-database.ts';

/** Modes in which a node answers a write when it is on the disk (cassandra.yaml). */
const WRITTEN_MODES = ['batch', 'group'];

/**
 * Nodes that answer before a write is on their disk, and those that do not answer, in words. Who
 * does not show its settings is passed over: a service that others run may not.
 */
export async function unsafeNodes(database: CassandraDatabase): Promise<string[]> {
  const query = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
  const unsafe: string[] = [];
  for (const { node, rows } of await database.eachNode<{ value: string }>(query)) {
    if (rows === undefined) {
      unsafe.push(`Cassandra's node ${node} could not be asked: look at nodetool status`);
      continue;
    }
    const mode = rows[0]?.value;
    if (mode === undefined || WRITTEN_MODES.includes(mode)) continue;
    unsafe.push(`Cassandra's node ${node} has commitlog_sync: ${mode}, where batch is needed`);
  }
  return unsafe;
}
