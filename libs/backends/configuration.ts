/**
 * The configuration: environment variables, validated once at start. The table of the README is
 * written from `settings` below.
 */
import { resolve, sep } from 'node:path';
import { LetheError } from '../base/lethe-error.ts';

/** One variable: its default, what it may be, and what it is for. */
export interface Setting {
  readonly name: string;
  readonly fallback: string;
  readonly expected: string;
  readonly purpose: string;
}

/** Every variable that is read, in the order of the README's table. */
export const settings: readonly Setting[] = [
  {
    name: 'LETHE_LOG',
    fallback: 'sqlite:./data/lethe.db',
    expected: 'sqlite:FILE',
    purpose: 'the log of sealed events',
  },
  {
    name: 'LETHE_VIEWS',
    fallback: 'sqlite:./data/views.db',
    expected: 'sqlite:FILE',
    purpose: 'the views that readers are served from',
  },
  {
    name: 'LETHE_VAULT',
    fallback: 'sqlite:./data/vault.db',
    expected: 'sqlite:FILE',
    purpose: 'wrapped rings and the directory',
  },
  {
    name: 'LETHE_STATE',
    fallback: 'sqlite:./data/lethe.db',
    expected: 'sqlite:FILE, the same file as LETHE_LOG',
    purpose: 'access keys, delivery ledger, requests, clock mark',
  },
  {
    name: 'LETHE_KMS',
    fallback: 'local:./keys',
    expected: 'local:FOLDER, outside the folders of the other files',
    purpose: 'the key at the root of the vault; keep a copy of it elsewhere',
  },
  {
    name: 'LETHE_KMS_PASSPHRASE',
    fallback: '',
    expected: 'text; empty: the key file is protected by its mode 0600 alone',
    purpose: 'protects the key file of LETHE_KMS',
  },
  {
    name: 'LETHE_HTTP',
    fallback: '127.0.0.1:8080',
    expected: 'HOST:PORT; port 0 takes a free one',
    purpose: 'where the server listens',
  },
  {
    name: 'LETHE_BODY_BYTES_MAX',
    fallback: '10485760',
    expected: 'a whole number from 1024 to 104857600',
    purpose: 'largest body that the server takes',
  },
  {
    name: 'LETHE_HORIZON_DAYS',
    fallback: '30',
    expected: 'a whole number from 1 to 400',
    purpose: 'how long a delivery is remembered, so that its redelivery is known',
  },
  {
    name: 'LETHE_BACKUPS',
    fallback: './backups',
    expected: 'a folder outside those of the other files and of LETHE_KMS',
    purpose: 'where turns keep their backups',
  },
  {
    name: 'LETHE_ERASURES',
    fallback: './erasures/list.jsonl',
    expected: 'a file outside the folders of the other files; keep a copy of it elsewhere',
    purpose: 'the list of what was erased, by random ids, that a restore applies',
  },
  {
    name: 'LETHE_CERTIFICATES',
    fallback: './certificates',
    expected: 'a folder',
    purpose: 'where certificates of erasures are kept, with the public key that checks them',
  },
  {
    name: 'LETHE_LEASE_MS',
    fallback: '5000',
    expected: 'a whole number from 1000 to 60000',
    purpose: 'how long a process may use keys without hearing what was erased',
  },
  {
    name: 'LETHE_TURN_SCHEDULE',
    fallback: 'off',
    expected: 'off, or every Nh: hours, 1 to 8760',
    purpose: 'how often the privacy service turns the epoch, if anything was erased since',
  },
  {
    name: 'LETHE_LOG_LEVEL',
    fallback: 'info',
    expected: 'silent, error, warn, info or debug',
    purpose: 'how much the server logs (never content or names)',
  },
];

/** The validated configuration. */
export interface Configuration {
  readonly logFile: string;
  readonly viewsFile: string;
  readonly vaultFile: string;
  readonly stateFile: string;
  readonly kmsFolder: string;
  readonly kmsPassphrase: string | undefined;
  readonly http: { readonly host: string; readonly port: number };
  readonly bodyBytesMax: number;
  readonly horizonDays: number;
  readonly leaseMs: number;
  /** Hours between turns; null: turns are made by hand. */
  readonly turnEveryHours: number | null;
  readonly backupsFolder: string;
  readonly erasuresFile: string;
  readonly certificatesFolder: string;
  readonly logLevel: string;
}

const NOT_BUILT_YET = /^(kafka|cassandra|redis|aws-kms|s3):/;

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
  const sqlite = (name: string) => fileOf(name, value(name), 'sqlite');
  const configuration: Configuration = {
    logFile: sqlite('LETHE_LOG'),
    viewsFile: sqlite('LETHE_VIEWS'),
    vaultFile: sqlite('LETHE_VAULT'),
    stateFile: sqlite('LETHE_STATE'),
    kmsFolder: fileOf('LETHE_KMS', value('LETHE_KMS'), 'local'),
    kmsPassphrase: env.LETHE_KMS_PASSPHRASE || undefined,
    http: readAddress('LETHE_HTTP', value('LETHE_HTTP')),
    bodyBytesMax: readNumber('LETHE_BODY_BYTES_MAX', value, [1_024, 104_857_600]),
    turnEveryHours: readSchedule('LETHE_TURN_SCHEDULE', value('LETHE_TURN_SCHEDULE')),
    backupsFolder: resolve(value('LETHE_BACKUPS')),
    certificatesFolder: resolve(value('LETHE_CERTIFICATES')),
    erasuresFile: resolve(value('LETHE_ERASURES')),
    leaseMs: readNumber('LETHE_LEASE_MS', value, [1_000, 60_000]),
    horizonDays: readNumber('LETHE_HORIZON_DAYS', value, [1, 400]),
    logLevel: value('LETHE_LOG_LEVEL'),
  };
  if (!['silent', 'error', 'warn', 'info', 'debug'].includes(configuration.logLevel)) {
    throw invalid('LETHE_LOG_LEVEL');
  }
  if (configuration.stateFile !== configuration.logFile) {
    // One commit must take an event and its entry in the ledger, or a crash could lose the event.
    throw invalid('LETHE_STATE', 'it must name the same file as LETHE_LOG; ');
  }
  assertKeysApart(configuration);
  return configuration;
}

function settingOf(name: string): Setting {
  return settings.find((setting) => setting.name === name)!;
}

function invalid(name: string, why = ''): LetheError {
  const { expected, fallback } = settingOf(name);
  const example = fallback === '' ? '' : `, for example ${name}=${fallback}`;
  return new LetheError('CONFIGURATION_INVALID', `${name}: ${why}expected ${expected}${example}`);
}

function fileOf(name: string, url: string, scheme: string): string {
  const engine = NOT_BUILT_YET.exec(url)?.[1];
  if (engine !== undefined) throw invalid(name, `${engine} is not built yet; `);
  if (!url.startsWith(`${scheme}:`) || url.length === scheme.length + 1) throw invalid(name);
  return resolve(url.slice(scheme.length + 1));
}

function readAddress(name: string, text: string): { host: string; port: number } {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) throw invalid(name);
  return { host: match[1]!.replace(/^\[(.*)\]$/, '$1'), port };
}

function readSchedule(name: string, text: string): number | null {
  if (text === 'off') return null;
  const hours = Number(/^every (\d{1,4})h$/.exec(text)?.[1]);
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

// Whoever copies the data folder must not copy the keys with it.
function assertKeysApart(configuration: Configuration): void {
  const { kmsFolder, logFile, viewsFile, vaultFile, stateFile } = configuration;
  const { backupsFolder, erasuresFile } = configuration;
  for (const file of [logFile, viewsFile, vaultFile, stateFile]) {
    const folder = resolve(file, '..');
    if (isInside(folder, backupsFolder))
      throw invalid('LETHE_BACKUPS', 'it lies inside a data folder; ');
    // A restore of the data must not put the list back in time with it.
    if (isInside(folder, erasuresFile))
      throw invalid('LETHE_ERASURES', 'it lies inside a data folder; ');
    if (isInside(folder, kmsFolder)) {
      throw invalid(
        'LETHE_KMS',
        'the key folder lies inside a data folder, where every backup ' +
          'of the data would hold the keys; ',
      );
    }
  }
}

/** Is a path a folder itself, or below it? Both are absolute. */
export function isInside(folder: string, path: string): boolean {
  return `${path}${sep}`.startsWith(`${folder}${sep}`);
}
