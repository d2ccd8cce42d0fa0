/** What the URLs of engines say. Passwords in them are never printed. */

/** A Cassandra keyspace: cassandra://user:password@host:9042,host/keyspace?dc=NAME */
export interface CassandraEngine {
  readonly engine: 'cassandra';
  readonly hosts: readonly string[];
  readonly port: number;
  readonly keyspace: string;
  readonly dataCenter: string;
  /** Copies of each row in the data centre, when `lethe migrate` makes the keyspace. */
  readonly replication: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: TlsFiles;
}

/** PEM files; none of them: the authorities that Node knows. */
export interface TlsFiles {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A Kafka cluster: kafka://user:password@host:9092,host:9092?prefix=lethe&sasl=scram-sha-512 */
export interface KafkaEngine {
  readonly engine: 'kafka';
  readonly brokers: readonly string[];
  /** Names the topic (`PREFIX.events`), groups and client. */
  readonly prefix: string;
  readonly partitions: number;
  readonly replication: number;
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  };
  readonly tls?: TlsFiles;
}

/** A Redis: redis://user:password@host:6379?prefix=lethe&tls=CA.pem */
export interface RedisEngine {
  readonly engine: 'redis';
  readonly host: string;
  readonly port: number;
  /** Begins the name of every key. */
  readonly prefix: string;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: TlsFiles;
}

/** The memory of each process: memory:16mb */
export interface MemoryEngine {
  readonly engine: 'memory';
  readonly bytesMax: number;
}

/** AWS KMS: aws-kms:REGION?endpoint=URL&pending-days=7 */
export interface AwsKmsEngine {
  readonly engine: 'aws-kms';
  readonly region: string;
  readonly endpoint?: string;
  /** Days between the end of a key and its removal, 7 to 30: T1 waits for them. */
  readonly pendingDays: number;
}

/** A bucket: s3://bucket/prefix?region=REGION&endpoint=URL */
export interface S3Engine {
  readonly engine: 's3';
  readonly bucket: string;
  /** Begins the name of every object. */
  readonly prefix: string;
  readonly region: string;
  readonly endpoint?: string;
}

/** A file of SQLite: sqlite:FILE */
export interface SqliteEngine {
  readonly engine: 'sqlite';
  readonly file: string;
}

/** A folder of keys: local:FOLDER */
export interface LocalKmsEngine {
  readonly engine: 'local';
  readonly folder: string;
}

const DEFAULT_PORTS = { cassandra: 9042, kafka: 9092, redis: 6379 } as const;
const PREFIX = /^[a-z][a-z0-9-]{0,39}$/;
const PARTITIONS_DEFAULT = 12;
const REPLICATION_DEFAULT = 3;
const PENDING_DAYS_DEFAULT = 7;

/** The parts of a URL with several hosts; undefined: it is none of that scheme. */
function parts(url: string, scheme: keyof typeof DEFAULT_PORTS) {
  const match = new RegExp(`^${scheme}://(?:([^@/]*)@)?([^/?]+)(?:/([^?]*))?(?:\\?(.*))?$`).exec(
    url,
  );
  if (match === null) return undefined;
  const [, login, hosts, path = '', query = ''] = match;
  const [username, password] = (login ?? '').split(':').map(decodeURIComponent);
  const named = hosts!.split(',').map((one) => {
    const [host, port = String(DEFAULT_PORTS[scheme])] = one.split(':');
    return { host: host!, port: Number(port) };
  });
  if (named.some(({ host, port }) => host === '' || !(port > 0 && port < 65_536))) return undefined;
  return {
    named,
    path,
    query: new URLSearchParams(query),
    username: username || undefined,
    password,
  };
}

function tlsOf(query: URLSearchParams): { tls?: TlsFiles } {
  const tls = query.get('tls');
  if (tls === null || tls === 'off') return {};
  const [cert, key] = [query.get('cert'), query.get('key')];
  return { tls: { ...(tls !== 'on' && { ca: tls }), ...(cert && { cert }), ...(key && { key }) } };
}

function wholeNumber(query: URLSearchParams, name: string, fallback: number): number {
  return Number(query.get(name) ?? fallback);
}

/** Undefined: it is not such a URL. */
export function readCassandraUrl(url: string): CassandraEngine | undefined {
  const found = parts(url, 'cassandra');
  if (found === undefined) return undefined;
  const { named, path: keyspace, query, username, password } = found;
  const dataCenter = query.get('dc');
  const replication = wholeNumber(query, 'replication', REPLICATION_DEFAULT);
  const isWhole = /^[a-z][a-z0-9_]{0,47}$/.test(keyspace) && replication >= 1 && replication <= 9;
  if (dataCenter === null || !isWhole) return undefined;
  const hosts = named.map(({ host }) => host);
  const login = username === undefined ? {} : { username, password: password ?? '' };
  const at = { hosts, port: named[0]!.port, keyspace, dataCenter, replication };
  return { engine: 'cassandra', ...at, ...login, ...tlsOf(query) };
}

/** Undefined: it is not such a URL. */
export function readKafkaUrl(url: string): KafkaEngine | undefined {
  const found = parts(url, 'kafka');
  if (found === undefined || found.path !== '') return undefined;
  const { named, query, username, password } = found;
  const prefix = query.get('prefix') ?? 'lethe';
  const partitions = wholeNumber(query, 'partitions', PARTITIONS_DEFAULT);
  const replication = wholeNumber(query, 'replication', REPLICATION_DEFAULT);
  const mechanism = query.get('sasl') ?? 'scram-sha-512';
  const isKnown = ['plain', 'scram-sha-256', 'scram-sha-512'].includes(mechanism);
  const isWhole = PREFIX.test(prefix) && partitions >= 1 && partitions <= 1_000;
  if (!isKnown || !isWhole || !(replication >= 1 && replication <= 9)) return undefined;
  const brokers = named.map(({ host, port }) => `${host}:${port}`);
  const sasl =
    username === undefined
      ? {}
      : { sasl: { mechanism: mechanism as 'plain', username, password: password ?? '' } };
  return { engine: 'kafka', brokers, prefix, partitions, replication, ...sasl, ...tlsOf(query) };
}

/** Undefined: it is not such a URL. */
export function readRedisUrl(url: string): RedisEngine | undefined {
  const found = parts(url, 'redis');
  if (found === undefined || found.path !== '' || found.named.length > 1) return undefined;
  const { named, query, username, password } = found;
  const prefix = query.get('prefix') ?? 'lethe';
  if (!PREFIX.test(prefix)) return undefined;
  const login = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
  return { engine: 'redis', ...named[0]!, prefix, ...login, ...tlsOf(query) };
}

/** Undefined: it is not such a URL. */
export function readMemoryUrl(url: string): MemoryEngine | undefined {
  const megabytes = /^memory:(\d{1,4})mb$/.exec(url)?.[1];
  if (megabytes === undefined) return undefined;
  return { engine: 'memory', bytesMax: Number(megabytes) * 1024 * 1024 };
}

/** Undefined: it is not such a URL. */
export function readAwsKmsUrl(url: string): AwsKmsEngine | undefined {
  const match = /^aws-kms:([a-z0-9-]+)(?:\?(.*))?$/.exec(url);
  if (match === null) return undefined;
  const query = new URLSearchParams(match[2] ?? '');
  const endpoint = query.get('endpoint');
  const pendingDays = wholeNumber(query, 'pending-days', PENDING_DAYS_DEFAULT);
  if (!(pendingDays >= 7 && pendingDays <= 30)) return undefined;
  return { engine: 'aws-kms', region: match[1]!, pendingDays, ...(endpoint && { endpoint }) };
}

/** Undefined: it is not such a URL. */
export function readS3Url(url: string): S3Engine | undefined {
  const match =
    /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([a-z0-9-]{1,40}))?(?:\?(.*))?$/.exec(url);
  if (match === null) return undefined;
  const [, bucket, prefix = 'lethe', query] = match;
  const settings = new URLSearchParams(query ?? '');
  const endpoint = settings.get('endpoint');
  const region = settings.get('region') ?? 'us-east-1';
  return { engine: 's3', bucket: bucket!, prefix, region, ...(endpoint && { endpoint }) };
}
