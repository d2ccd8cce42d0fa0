/** The configuration: environment variables, validated once at start. */
import { dirname, join, resolve, sep } from 'node:path';
import { LetheError } from '../base/lethe-error.ts';
import {
  type AwsKmsEngine,
  type CassandraEngine,
  type KafkaEngine,
  type LocalKmsEngine,
  type MemoryEngine,
  type RedisEngine,
  readAwsKmsUrl,
  readCassandraUrl,
  readKafkaUrl,
  readMemoryUrl,
  readRedisUrl,
  type SqliteEngine,
  type TlsFiles,
} from '../engines/engine-urls.ts';
import { type Setting, settings } from './settings.ts';

/** The validated configuration. */
export interface Configuration {
  readonly log: SqliteEngine | KafkaEngine;
  readonly views: SqliteEngine | CassandraEngine;
  readonly vault: SqliteEngine | CassandraEngine;
  readonly state: SqliteEngine | CassandraEngine;
  readonly kms: LocalKmsEngine | AwsKmsEngine;
  readonly cache: MemoryEngine | RedisEngine;
  readonly kmsPassphrase: string | undefined;
  readonly http: {
    readonly host: string;
    readonly port: number;
    readonly tls?: Required<Pick<TlsFiles, 'cert' | 'key'>>;
    readonly url?: string;
  };
  readonly bodyBytesMax: number;
  readonly horizonDays: number;
  readonly leaseMs: number;
  /** How long a client may take for one answer, or one event of a stream. */
  readonly answerMs: number;
  /** Are tokens taken that have no end (claim `exp`) of their own? */
  readonly isEndlessTokenAllowed: boolean;
  /** Hours between turns; null: turns are made by hand. */
  readonly turnEveryHours: number | null;
  readonly backupsFolder: string;
  readonly erasuresFolder: string;
  readonly certificatesFolder: string;
  readonly signingFolder: string;
  readonly logLevel: string;
}

const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'];
const TOKENS_WITHOUT_EXP = ['refused', 'allowed'];
const INSECURE = ['', '1'];

/**
 * Reads the configuration from variables. Throws CONFIGURATION_INVALID naming the variable, what
 * was expected and an example; the value is not repeated, since it may hold a password.
 */
export function readConfiguration(
  env: Readonly<Record<string, string | undefined>>,
): Configuration {
  const known = new Set(settings.map((setting) => setting.name));
  const unknown = Object.keys(env).find((name) => name.startsWith('LETHE_') && !known.has(name));
  if (unknown !== undefined) {
    throw new LetheError('CONFIGURATION_INVALID', `${unknown} is not a variable of Lethe`);
  }
  const value = (name: string) => env[name] || settingOf(name).fallback;
  const kms = readKms('LETHE_KMS', value('LETHE_KMS'));
  const signing = value('LETHE_SIGNING_KEYS');
  const vault = readEngine('LETHE_VAULT', value, readCassandraUrl);
  // They belong to the store: from wherever a command is run it finds the same ones.
  const home = vault.engine === 'sqlite' ? dirname(dirname(vault.file)) : '.';
  const sideFolder = (name: string, fallback: string) =>
    resolve(value(name) || join(home, fallback));
  const configuration: Configuration = {
    log: readEngine('LETHE_LOG', value, readKafkaUrl),
    views: readEngine('LETHE_VIEWS', value, readCassandraUrl),
    vault,
    state: readEngine('LETHE_STATE', value, readCassandraUrl),
    kms,
    signingFolder:
      signing === '' && kms.engine === 'local' ? kms.folder : resolve(signing || 'keys'),
    cache: readCache('LETHE_CACHE', value('LETHE_CACHE')),
    kmsPassphrase: env.LETHE_KMS_PASSPHRASE || undefined,
    http: {
      ...readAddress('LETHE_HTTP', value('LETHE_HTTP')),
      ...readHttpTls('LETHE_HTTP_TLS', value('LETHE_HTTP_TLS')),
      ...readHttpUrl('LETHE_HTTP_URL', value('LETHE_HTTP_URL')),
    },
    bodyBytesMax: readNumber('LETHE_BODY_BYTES_MAX', value, [1_024, 104_857_600]),
    turnEveryHours: readSchedule('LETHE_TURN_SCHEDULE', value('LETHE_TURN_SCHEDULE')),
    backupsFolder: sideFolder('LETHE_BACKUPS', 'backups'),
    certificatesFolder: sideFolder('LETHE_CERTIFICATES', 'certificates'),
    erasuresFolder: sideFolder('LETHE_ERASURES', 'erasures'),
    leaseMs: readNumber('LETHE_LEASE_MS', value, [1_000, 60_000]),
    answerMs: readNumber('LETHE_ANSWER_MS', value, [1_000, 3_600_000]),
    isEndlessTokenAllowed:
      readChoice('LETHE_TOKENS_WITHOUT_EXP', value, TOKENS_WITHOUT_EXP) === 'allowed',
    horizonDays: readNumber('LETHE_HORIZON_DAYS', value, [1, 400]),
    logLevel: readChoice('LETHE_LOG_LEVEL', value, LOG_LEVELS),
  };
  const { log, state } = configuration;
  if (log.engine === 'sqlite' && !(state.engine === 'sqlite' && state.file === log.file)) {
    // One commit takes an event and its entry in the ledger.
    throw invalid('LETHE_STATE', 'it must name the same file as LETHE_LOG; ');
  }
  assertKeysApart(configuration);
  if (readChoice('LETHE_INSECURE', value, INSECURE) !== '1') assertEncrypted(configuration);
  return configuration;
}

function readChoice(
  name: string,
  value: (name: string) => string,
  choices: readonly string[],
): string {
  const given = value(name);
  if (!choices.includes(given)) throw invalid(name);
  return given;
}

function settingOf(name: string): Setting {
  return settings.find((setting) => setting.name === name)!;
}

function invalid(name: string, why = ''): LetheError {
  const { expected, fallback } = settingOf(name);
  const example = fallback === '' ? '' : `, for example ${name}=${fallback}`;
  return new LetheError('CONFIGURATION_INVALID', `${name}: ${why}expected ${expected}${example}`);
}

function readEngine<Other>(
  name: string,
  value: (name: string) => string,
  read: (url: string) => Other | undefined,
): SqliteEngine | Other {
  const url = value(name);
  const file = pathOf(url, 'sqlite');
  const engine = file === undefined ? read(url) : { engine: 'sqlite' as const, file };
  if (engine === undefined) throw invalid(name);
  return engine;
}

function readKms(name: string, url: string): LocalKmsEngine | AwsKmsEngine {
  const folder = pathOf(url, 'local');
  const engine = folder === undefined ? readAwsKmsUrl(url) : { engine: 'local' as const, folder };
  if (engine === undefined) throw invalid(name);
  return engine;
}

function readCache(name: string, url: string): MemoryEngine | RedisEngine {
  const engine = readMemoryUrl(url) ?? readRedisUrl(url);
  if (engine === undefined) throw invalid(name);
  return engine;
}

function pathOf(url: string, scheme: string): string | undefined {
  const path = url.startsWith(`${scheme}:`) ? url.slice(scheme.length + 1) : '';
  return path === '' ? undefined : resolve(path);
}

function readAddress(name: string, text: string): { host: string; port: number } {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) throw invalid(name);
  return { host: match[1]!.replace(/^\[(.*)\]$/, '$1'), port };
}

function readHttpTls(name: string, text: string): Pick<Configuration['http'], 'tls'> {
  if (text === 'off') return {};
  const files = new URLSearchParams(text);
  const [cert, key] = [files.get('cert'), files.get('key')];
  if (!cert || !key) throw invalid(name);
  return { tls: { cert: resolve(cert), key: resolve(key) } };
}

function readHttpUrl(name: string, text: string): Pick<Configuration['http'], 'url'> {
  if (text === '') return {};
  const url = URL.parse(text);
  const isWhole = url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/';
  if (!isWhole || url.username !== '' || url.search !== '') throw invalid(name);
  return { url: url.origin };
}

function readSchedule(name: string, text: string): number | null {
  if (text === 'off') return null;
  const [, count, unit] = /^every (\d{1,4})([hd])$/.exec(text) ?? [];
  const hours = Number(count) * (unit === 'd' ? 24 : 1);
  if (!(hours >= 1 && hours <= 8_760)) throw invalid(name);
  return hours;
}

function readNumber(
  name: string,
  value: (name: string) => string,
  [min, max]: readonly [number, number],
): number {
  const number = Number(value(name));
  if (!Number.isInteger(number) || number < min || number > max) throw invalid(name);
  return number;
}

/** Throws CONFIGURATION_INVALID where something would pass a network that anybody may read. */
function assertEncrypted({ http, log, views, vault, state, cache, kms }: Configuration): void {
  const plain = 'it is not encrypted beyond this machine: ';
  const unless = ', or set LETHE_INSECURE=1 where the network itself is trusted; ';
  if (http.tls === undefined && !isThisMachine(http.host)) {
    const ways = 'set LETHE_HTTP_TLS, listen on 127.0.0.1 behind a proxy that speaks HTTPS';
    throw invalid('LETHE_HTTP', plain + ways + unless);
  }
  const isUrlPlain = (url: string | undefined) => {
    const parsed = url === undefined ? null : URL.parse(url);
    return parsed?.protocol === 'http:' && !isThisMachine(parsed.hostname);
  };
  if (isUrlPlain(http.url)) throw invalid('LETHE_HTTP_URL', `${plain}use https:${unless}`);
  const named = { LETHE_LOG: log, LETHE_VIEWS: views, LETHE_VAULT: vault, LETHE_STATE: state };
  for (const [name, engine] of Object.entries({ ...named, LETHE_CACHE: cache })) {
    const isPlain = !('tls' in engine) && !hostsOf(engine).every(isThisMachine);
    if (isPlain) throw invalid(name, `${plain}add tls=on, or tls=CA.pem${unless}`);
  }
  if (kms.engine === 'aws-kms' && isUrlPlain(kms.endpoint)) {
    throw invalid('LETHE_KMS', `${plain}use an endpoint of https:${unless}`);
  }
}

type Engine = Configuration['log' | 'views' | 'cache'];

function hostsOf(engine: Engine): readonly string[] {
  switch (engine.engine) {
    case 'cassandra':
      return engine.hosts;
    case 'kafka':
      return engine.brokers.map((broker) => broker.replace(/:\d+$/, ''));
    case 'redis':
      return [engine.host];
    case 'sqlite':
    case 'memory':
      return [];
  }
}

function isThisMachine(host: string): boolean {
  return host === 'localhost' || /^127(\.\d{1,3}){3}$/.test(host) || /^\[?::1\]?$/.test(host);
}

// Whoever copies the data folder must not copy the keys with it.
function assertKeysApart(configuration: Configuration): void {
  const { backupsFolder, erasuresFolder, signingFolder, kms } = configuration;
  for (const file of embeddedFiles(configuration)) {
    const folder = resolve(file, '..');
    if (isInside(folder, backupsFolder))
      throw invalid('LETHE_BACKUPS', `${backupsFolder} lies inside the data folder ${folder}; `);
    // A restore of the data must not put the list back in time with it.
    if (isInside(folder, erasuresFolder))
      throw invalid('LETHE_ERASURES', `${erasuresFolder} lies inside the data folder ${folder}; `);
    const why =
      'the key folder lies inside a data folder, where every backup would hold the keys; ';
    if (kms.engine === 'local' && isInside(folder, kms.folder)) throw invalid('LETHE_KMS', why);
    if (isInside(folder, signingFolder)) throw invalid('LETHE_SIGNING_KEYS', why);
  }
}

/** The files of the engines that are embedded: log, state, views, vault, each once. */
export function embeddedFiles({ log, state, views, vault }: Configuration): string[] {
  const engines = [log, state, views, vault];
  return [...new Set(engines.flatMap((one) => (one.engine === 'sqlite' ? one.file : [])))];
}

/** The file of an engine that has to be embedded here. Throws CONFIGURATION_INVALID. */
export function fileOf(engine: SqliteEngine | KafkaEngine | CassandraEngine): string {
  if (engine.engine === 'sqlite') return engine.file;
  const text = `this works with sqlite: only, not with ${engine.engine}: see infra/runbooks`;
  throw new LetheError('CONFIGURATION_INVALID', text);
}

/** Is a path a folder itself, or below it? Both are absolute. */
export function isInside(folder: string, path: string): boolean {
  return `${path}${sep}`.startsWith(`${folder}${sep}`);
}
