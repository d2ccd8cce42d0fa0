/** Kafka (KRaft) on loopback: one node, or several that are broker and controller at once. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificate } from './certificates.ts';
import { fetchJars } from './downloads.ts';
import { type KafkaLogin, loginProperties, scramArguments } from './kafka-login.ts';
import {
  freePorts,
  hasLogged,
  type ServerProcess,
  startProcess,
  untilReady,
} from './server-process.ts';

const KAFKA = {
  group: 'org.apache.kafka',
  name: 'kafka_2.13',
  version: '4.4.0',
  // Missing from Maven Central, and not needed to serve.
  without: [{ group: 'org.apache.kafka', name: 'kafka-tools-api' }],
  also: [{ group: 'org.apache.logging.log4j', name: 'log4j-slf4j-impl', version: '2.25.5' }],
};
const READY_MS = 60_000;

/** The nodes of a cluster, and how to start one of them again after it was killed. */
export interface KafkaServer {
  readonly brokers: readonly string[];
  /** The same nodes where they ask for TLS and a login, and the certificate to trust there. */
  readonly secure: { readonly brokers: readonly string[]; readonly caFile: string } | undefined;
  /** The ports of 127.0.0.1 that what forwards has to forward to, node by node. */
  readonly behind: readonly number[];
  readonly processes: readonly ServerProcess[];
  /** The command of each node, for starting it again. */
  readonly restart: (node: number) => Promise<ServerProcess>;
}

/** Brings what it is made of. */
export function fetchKafka(): string {
  return join(fetchJars(KAFKA), 'libs/*');
}

/** What a cluster has beside its open listeners. */
export interface KafkaListeners {
  /** One that asks for TLS and this login. */
  readonly login?: KafkaLogin;
  /** One whose nodes tell clients to come by these ports of 127.0.0.1, where something forwards. */
  readonly forwardedPorts?: readonly number[];
}

/**
 * A random id as Kafka takes it: 16 bytes in base64url, 22 characters. Never one that begins with a
 * hyphen (one of 64 would): the tool that formats takes it for an option.
 */
export function newClusterId(): string {
  const bytes = randomBytes(16);
  bytes[0]! &= 0x7f;
  return bytes.toString('base64url');
}

/** Starts a cluster in a folder; resolves when every node serves. */
export async function startKafka(
  folder: string,
  nodes: number,
  { login, forwardedPorts }: KafkaListeners = {},
): Promise<KafkaServer> {
  const classPath = fetchKafka();
  const ports = await freePorts(nodes * 4);
  const certificate = login && makeCertificate(join(folder, 'kafka-certificate'));
  const cluster = newClusterId();
  const voters = Array.from({ length: nodes }, (_, i) => `${i + 1}@127.0.0.1:${ports[nodes + i]}`);
  for (let node = 0; node < nodes; node += 1) {
    const own = nodeFolder(folder, node);
    mkdirSync(own, { recursive: true });
    const [port, controllerPort] = [ports[node]!, ports[nodes + node]!];
    const securePort = login && ports[2 * nodes + node]!;
    const behindPort = ports[3 * nodes + node]!;
    const forwarded = forwardedPorts && { behindPort, port: forwardedPorts[node]! };
    const at = { port, controllerPort, securePort, forwarded, voters, nodes };
    const more = login && certificate ? loginProperties(login, certificate.keyStore) : {};
    writeFileSync(join(own, 'server.properties'), propertiesOf(node, own, at, more));
    writeFileSync(join(own, 'log4j2.yaml'), LOGGING);
    format(classPath, own, [cluster, ...(login ? scramArguments(login) : [])]);
  }
  const restart = async (node: number) => {
    const started = startNode(classPath, nodeFolder(folder, node), node);
    await untilReady(started, () => hasLogged(started, 'Kafka Server started'), READY_MS);
    return started;
  };
  // A quorum is needed before any of them is ready: all are started before one is waited for.
  const processes = Array.from({ length: nodes }, (_, node) =>
    startNode(classPath, nodeFolder(folder, node), node),
  );
  for (const one of processes) {
    await untilReady(one, () => hasLogged(one, 'Kafka Server started'), READY_MS);
  }
  const hosts = (from: number) =>
    ports.slice(from, from + nodes).map((port) => `127.0.0.1:${port}`);
  const secure = certificate && { brokers: hosts(2 * nodes), caFile: certificate.caFile };
  const behind = ports.slice(3 * nodes);
  return { brokers: hosts(0), secure, behind, processes, restart };
}

function nodeFolder(folder: string, node: number): string {
  return join(folder, `kafka-${node + 1}`);
}

function startNode(classPath: string, folder: string, node: number): ServerProcess {
  const heap = ['-Xms256m', '-Xmx384m', '-XX:MaxDirectMemorySize=128m', '-XX:+UseSerialGC'];
  const logging = [
    `-Dlog4j2.configurationFile=${folder}/log4j2.yaml`,
    `-Dkafka.logs.dir=${folder}`,
  ];
  const args = [
    ...heap,
    ...logging,
    '-cp',
    classPath,
    'kafka.Kafka',
    `${folder}/server.properties`,
  ];
  // The log of an earlier life would tell that it is ready before it is.
  const own = join(folder, `run-${Date.now()}`);
  return startProcess({ name: `kafka-${node + 1}`, folder: own, command: 'java', args });
}

function format(classPath: string, folder: string, cluster: readonly string[]): void {
  const tool = ['-cp', classPath, 'kafka.tools.StorageTool', 'format', '-t', ...cluster];
  const args = ['-Xmx128m', '-XX:+UseSerialGC', ...tool, '-c', `${folder}/server.properties`];
  const done = spawnSync('java', args, { encoding: 'utf8' });
  if (done.status === 0) return;
  throw new Error(`Kafka: cannot format ${folder}:\n${done.stdout}${done.stderr}`);
}

function propertiesOf(
  node: number,
  folder: string,
  at: {
    port: number;
    controllerPort: number;
    securePort: number | undefined;
    forwarded: { port: number; behindPort: number } | undefined;
    voters: readonly string[];
    nodes: number;
  },
  more: Readonly<Record<string, string>>,
): string {
  const copies = Math.min(3, at.nodes);
  const open = [
    `PLAINTEXT://127.0.0.1:${at.port}`,
    ...(at.securePort === undefined ? [] : [`SASL_SSL://127.0.0.1:${at.securePort}`]),
  ];
  const settings = {
    'node.id': node + 1,
    'process.roles': 'broker,controller',
    'controller.quorum.voters': at.voters.join(','),
    listeners: [
      ...open,
      `CONTROLLER://127.0.0.1:${at.controllerPort}`,
      ...(at.forwarded === undefined ? [] : [`FORWARDED://127.0.0.1:${at.forwarded.behindPort}`]),
    ].join(','),
    'advertised.listeners': [
      ...open,
      ...(at.forwarded === undefined ? [] : [`FORWARDED://127.0.0.1:${at.forwarded.port}`]),
    ].join(','),
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': [
      'PLAINTEXT:PLAINTEXT',
      'CONTROLLER:PLAINTEXT',
      'FORWARDED:PLAINTEXT',
      'SASL_SSL:SASL_SSL',
    ].join(','),
    'log.dirs': `${folder}/data`,
    'auto.create.topics.enable': false,
    'offsets.topic.num.partitions': 4,
    'offsets.topic.replication.factor': copies,
    'transaction.state.log.num.partitions': 1,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 1,
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'log.cleaner.dedupe.buffer.size': 16_777_216,
    'log.cleaner.backoff.ms': 500,
    // Without these a killed broker needs 13 s to come back.
    'broker.session.timeout.ms': 2_000,
    'broker.heartbeat.interval.ms': 500,
    ...more,
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

const LOGGING = `Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: { pattern: "%d %p %c - %m%n" }
  Loggers:
    Root:
      level: INFO
      AppenderRef: [{ ref: STDOUT }]
`;
