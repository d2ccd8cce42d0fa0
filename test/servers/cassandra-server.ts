/** Cassandra on loopback: one node on 127.0.0.1, or several on 127.0.0.1, .2, .3. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Certificate, STORE_PASSWORD } from './certificates.ts';
import { fetchJars } from './downloads.ts';
import {
  freePorts,
  hasLogged,
  isRunning,
  type ServerProcess,
  startProcess,
  untilReady,
} from './server-process.ts';

const CASSANDRA = { group: 'org.apache.cassandra', name: 'cassandra-all', version: '5.0.9' };
const READY_MS = 120_000;
const TOKENS = 2n ** 64n;
const FIRST_TOKEN = -(2n ** 63n);

// What Cassandra 5 reaches into, on Java 17.
const OPENED = [
  ...['jdk.internal.misc', 'java.lang.ref'].map((name) => `exports java.base/${name}`),
  'exports java.management.rmi/com.sun.jmx.remote.internal.rmi',
  'exports java.rmi/sun.rmi.registry',
  'exports java.rmi/sun.rmi.server',
  'exports java.sql/java.sql',
  'exports jdk.unsupported/sun.misc',
  'exports jdk.attach/sun.tools.attach',
  ...[
    'java.lang.module',
    'jdk.internal.loader',
    'jdk.internal.ref',
    'jdk.internal.reflect',
    'jdk.internal.math',
    'jdk.internal.module',
    'jdk.internal.util.jar',
    'sun.nio.ch',
    'java.io',
    'java.lang',
    'java.lang.reflect',
    'java.util',
    'java.util.concurrent',
    'java.util.concurrent.atomic',
    'java.math',
    'java.net',
  ].map((name) => `opens java.base/${name}`),
  'opens jdk.management/com.sun.management.internal',
].map((one) => `--add-${one.replace(' ', '=')}=ALL-UNNAMED`);

type Settings = Readonly<Record<string, string>>;

/** The nodes of a cluster. */
export interface CassandraServer {
  readonly hosts: readonly string[];
  readonly port: number;
  readonly processes: readonly ServerProcess[];
  /** Where each node keeps its files. */
  readonly folders: readonly string[];
  /** Starts a node anew; settings are those of `cassandra.yaml`, for this start alone. */
  readonly restart: (node: number, settings?: Settings) => Promise<ServerProcess>;
  /** Runs a command of nodetool on a node. */
  readonly nodetool: (node: number, ...args: string[]) => string;
}

interface Cluster {
  readonly folder: string;
  readonly nodes: number;
  readonly port: number;
  readonly storagePort: number;
  readonly jmxPorts: readonly number[];
  /** Clients come with TLS, a certificate that it knows, and a password; else all are let in. */
  readonly certificate: Certificate | undefined;
}

/** Who is let in where a login is asked for: the user that Cassandra makes by itself. */
export const CASSANDRA_LOGIN = { username: 'cassandra', password: 'cassandra' } as const;

/** Brings what it is made of. */
export function fetchCassandra(): string {
  return join(fetchJars(CASSANDRA), 'libs/*');
}

/**
 * Starts a cluster in a folder; resolves when every node answers CQL and knows that the others are
 * up: one that does not know it yet refuses what needs a quorum. A restart resolves so, too.
 */
export async function startCassandra(
  folder: string,
  nodes: number,
  certificate?: Certificate,
): Promise<CassandraServer> {
  const classPath = fetchCassandra();
  const [port, storagePort, ...jmxPorts] = (await freePorts(2 + nodes)) as [number, number];
  const cluster: Cluster = { folder, nodes, port, storagePort, jmxPorts, certificate };
  const processes: ServerProcess[] = [];
  for (let node = 0; node < nodes; node += 1) {
    configure(cluster, node);
    const started = startNode(cluster, node, classPath);
    processes.push(started);
    await untilServing(started);
  }
  const nodetool = (node: number, ...args: string[]) => runNodetool(cluster, node, args, classPath);
  await untilAcquainted(processes, nodetool);
  const restart = async (node: number, settings: Settings = {}) => {
    const started = startNode(cluster, node, classPath, settings);
    processes[node] = started;
    await untilServing(started);
    await untilAcquainted(processes, nodetool);
    return started;
  };
  const hosts = Array.from({ length: nodes }, (_, node) => hostOf(node));
  const folders = hosts.map((_, node) => nodeFolder(folder, node));
  return { hosts, port, processes, folders, restart, nodetool };
}

function hostOf(node: number): string {
  return `127.0.0.${node + 1}`;
}

function nodeFolder(folder: string, node: number): string {
  return join(folder, `cassandra-${node + 1}`);
}

function untilServing(started: ServerProcess): Promise<void> {
  return untilReady(started, () => hasLogged(started, 'Starting listening for CQL'), READY_MS);
}

/** Until each node that runs lists each that runs as up and normal. */
async function untilAcquainted(
  processes: readonly ServerProcess[],
  nodetool: CassandraServer['nodetool'],
): Promise<void> {
  const running = [...processes.keys()].filter((node) => isRunning(processes[node]!));
  if (running.length === 1) return;
  for (const node of running) {
    const knowsAll = () => {
      const status = nodetool(node, 'status');
      return running.every((other) => status.includes(`UN  ${hostOf(other)} `));
    };
    await untilReady(processes[node]!, knowsAll, READY_MS);
  }
}

function startNode(
  cluster: Cluster,
  node: number,
  classPath: string,
  settings: Settings = {},
): ServerProcess {
  const folder = nodeFolder(cluster.folder, node);
  const heap = ['-Xms256m', '-Xmx512m', '-Xss512k', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
  const direct = ['-XX:MaxDirectMemorySize=256m', '-XX:+PerfDisableSharedMem'];
  const properties = {
    'jdk.attach.allowAttachSelf': 'true',
    'io.netty.tryReflectionSetAccessible': 'true',
    'cassandra.config': `file://${folder}/cassandra.yaml`,
    'cassandra.storagedir': folder,
    'cassandra.logdir': folder,
    'logback.configurationFile': `file://${folder}/logback.xml`,
    'cassandra-foreground': 'yes',
    'cassandra.config.allow_system_properties': 'true',
    'cassandra.jmx.local.port': String(cluster.jmxPorts[node]),
    'cassandra.skip_wait_for_gossip_to_settle': '0',
    'cassandra.ring_delay_ms': '1',
    'cassandra.superuser_setup_delay_ms': '0',
    'cassandra.consistent.rangemovement': 'false',
  };
  const own = Object.entries(settings).map(([name, value]) => [
    `cassandra.settings.${name}`,
    value,
  ]);
  const given = [...Object.entries(properties), ...own].map(
    ([name, value]) => `-D${name}=${value}`,
  );
  const main = ['-cp', classPath, 'org.apache.cassandra.service.CassandraDaemon'];
  const args = [...heap, ...direct, ...OPENED, ...given, ...main];
  // The log of an earlier life would tell that it is ready before it is.
  const run = join(folder, `run-${Date.now()}`);
  return startProcess({ name: `cassandra-${node + 1}`, folder: run, command: 'java', args });
}

function runNodetool(cluster: Cluster, node: number, args: string[], classPath: string): string {
  const where = ['-h', '127.0.0.1', '-p', String(cluster.jmxPorts[node])];
  const main = ['-cp', classPath, 'org.apache.cassandra.tools.NodeTool', ...where];
  const done = spawnSync('java', ['-Xmx64m', ...OPENED, ...main, ...args], {
    cwd: nodeFolder(cluster.folder, node),
    encoding: 'utf8',
  });
  if (done.status === 0) return done.stdout;
  throw new Error(`nodetool ${args.join(' ')}: ${done.stdout}${done.stderr}`);
}

function configure(cluster: Cluster, node: number): void {
  const folder = nodeFolder(cluster.folder, node);
  mkdirSync(folder, { recursive: true });
  const token = FIRST_TOKEN + (TOKENS / BigInt(cluster.nodes)) * BigInt(node);
  const settings: Record<string, string | number | boolean> = {
    cluster_name: 'lethe',
    num_tokens: 1,
    initial_token: String(token),
    auto_bootstrap: false,
    partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner',
    endpoint_snitch: 'SimpleSnitch',
    listen_address: hostOf(node),
    rpc_address: hostOf(node),
    storage_port: cluster.storagePort,
    native_transport_port: cluster.port,
    // As the runbook has it: what was answered outlives a node that is killed at once.
    commitlog_sync: 'batch',
    commitlog_segment_size: '4MiB',
    commitlog_total_space: '64MiB',
    memtable_heap_space: '64MiB',
    auto_snapshot: false,
    hinted_handoff_enabled: true,
    user_defined_functions_enabled: false,
    commitlog_directory: `${folder}/commitlog`,
    hints_directory: `${folder}/hints`,
    saved_caches_directory: `${folder}/saved_caches`,
    cdc_raw_directory: `${folder}/cdc_raw`,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}: ${value}`);
  // All of them, so that each can come back while another one is away.
  const all = Array.from({ length: cluster.nodes }, (_, one) => hostOf(one));
  const seeds = all.map((host) => `${host}:${cluster.storagePort}`).join(',');
  const provider = `  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "${seeds}"`;
  const data = `data_file_directories:\n  - ${folder}/data`;
  const secure = cluster.certificate === undefined ? [] : [secureOf(cluster.certificate)];
  const yaml = [...lines, ...secure, 'seed_provider:', provider, data, ''].join('\n');
  writeFileSync(join(folder, 'cassandra.yaml'), yaml);
  writeFileSync(join(folder, 'logback.xml'), LOGGING);
}

function secureOf({ keyStore }: Certificate): string {
  return `authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  keystore: ${keyStore}
  keystore_password: ${STORE_PASSWORD}
  truststore: ${keyStore}
  truststore_password: ${STORE_PASSWORD}
  store_type: PKCS12`;
}

const LOGGING = `<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5level %logger{30} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="STDOUT"/></root>
</configuration>
`;
