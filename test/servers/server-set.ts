/** The servers together: started once, found again by whoever comes later, ended as one. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchCassandra, startCassandra } from './cassandra-server.ts';
import { fetchKafka, startKafka } from './kafka-server.ts';
import { fetchKms, startKms } from './kms-server.ts';
import { fetchRedis, startRedis } from './redis-server.ts';
import { fetchS3, S3_ACCESS, startS3 } from './s3-server.ts';
import { isRunning, type ServerProcess, stopProcesses } from './server-process.ts';

/** A started set. */
export interface ServerSet {
  readonly nodes: number;
  readonly processes: readonly ServerProcess[];
  /** What the engines of Lethe are told, and what the AWS clients ask the environment for. */
  readonly variables: Readonly<Record<string, string>>;
}

const SET_FILE = 'set.json';

/** The set that was started in a folder, if any. */
export function findServers(folder: string): ServerSet | undefined {
  const file = join(folder, SET_FILE);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as ServerSet) : undefined;
}

/**
 * Starts all servers in a folder, or gives those that run there already. What a set of which some
 * have ended left behind is removed first. Throws when one cannot be had or does not start.
 */
export async function startServers(folder: string, nodes: number): Promise<ServerSet> {
  const found = findServers(folder);
  if (found?.processes.every(isRunning)) {
    if (found.nodes === nodes) return found;
    throw new Error(`servers with ${found.nodes} nodes run already: stop them first`);
  }
  await stopServers(folder);
  for (const fetch of [fetchKafka, fetchCassandra, fetchRedis, fetchS3, fetchKms]) fetch();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const processes: ServerProcess[] = [];
  try {
    const set = await startEach(folder, nodes, processes);
    writeFileSync(join(folder, `${SET_FILE}.new`), JSON.stringify(set));
    renameSync(join(folder, `${SET_FILE}.new`), join(folder, SET_FILE));
    return set;
  } catch (error) {
    await stopProcesses(processes);
    throw error;
  }
}

async function startEach(
  folder: string,
  nodes: number,
  processes: ServerProcess[],
): Promise<ServerSet> {
  const redis = await startRedis(folder);
  processes.push(redis.process);
  const s3 = await startS3(folder);
  processes.push(s3.process);
  const kms = await startKms(folder);
  processes.push(kms.process);
  const kafka = await startKafka(folder, nodes);
  processes.push(...kafka.processes);
  const cassandra = await startCassandra(folder, nodes);
  processes.push(...cassandra.processes);
  const { hosts, port } = cassandra;
  const at = hosts.map((host) => `${host}:${port}`).join(',');
  const keyspace = (name: string) =>
    `cassandra://${at}/${name}?dc=datacenter1&replication=${nodes}`;
  const variables = {
    LETHE_LOG: `kafka://${kafka.brokers.join(',')}?replication=${nodes}`,
    LETHE_VIEWS: keyspace('lethe_views'),
    LETHE_VAULT: keyspace('lethe_vault'),
    LETHE_STATE: keyspace('lethe_state'),
    LETHE_CACHE: `redis://127.0.0.1:${redis.port}`,
    LETHE_KMS: `aws-kms:eu-west-1?endpoint=${encodeURIComponent(kms.endpoint)}`,
    AWS_ACCESS_KEY_ID: S3_ACCESS.id,
    AWS_SECRET_ACCESS_KEY: S3_ACCESS.secret,
    AWS_REGION: 'eu-west-1',
    // Read by AWS's own clients; nothing of Lethe but its tests asks for objects yet.
    AWS_ENDPOINT_URL_S3: s3.endpoint,
  };
  return { nodes, processes: [...processes], variables };
}

/** Ends the servers of a folder and removes it; nothing is left behind. */
export async function stopServers(folder: string): Promise<ServerSet | undefined> {
  const found = findServers(folder);
  if (found !== undefined) await stopProcesses(found.processes);
  rmSync(folder, { recursive: true, force: true });
  return found;
}
