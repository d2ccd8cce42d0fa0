/**
 * Backups: a consistent copy of log, state and vault with a manifest, never a KMS key. The views
 * are not copied: they are built anew from the log.
 */
import { existsSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { makeFolders, readRegularFile } from '../../libs/base/durable-file.ts';
import type { KeyId } from '../../libs/base/ids.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import {
  type Configuration,
  embeddedFiles,
  isInside,
} from '../../libs/configuration/configuration.ts';
import { headToText } from '../../libs/requests/erasure-list.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import { copyData, LOG_COPY, VAULT_COPY } from './copy-data.ts';

/** What a backup says of itself. */
export interface BackupManifest {
  readonly format: 1;
  readonly madeAt: string;
  /** The KMS key without which nothing in it opens. */
  readonly kmsKey: KeyId;
  /** For people: how far the list of erasures went. What decides lies in the vault's copy. */
  readonly erasuresHead: string;
}

/** A backup in a folder. */
export interface FoundBackup {
  readonly folder: string;
  readonly manifest: BackupManifest;
}

const MANIFEST = 'backup.json';
const PARTIAL = '.partial';
const UNFINISHED_MS = 24 * 3_600_000;

/**
 * Makes a backup in a new folder under `parent`. Throws INPUT_INVALID (not a place for backups),
 * STORE_FULL, VAULT_UNREACHABLE.
 */
export async function makeBackup(
  { backends, configuration }: { backends: Backends; configuration: Configuration },
  parent: string,
  nowMs: number,
): Promise<FoundBackup> {
  assertApart(configuration, parent);
  const madeAt = new Date(nowMs).toISOString();
  const folder = join(parent, madeAt.replaceAll(/[:.]/g, '-'));
  const partial = `${folder}${PARTIAL}`;
  makeFolder(parent);
  removeUnfinished(parent, nowMs);
  makeFolder(partial);
  try {
    return await fill({ backends, configuration }, { partial, folder, madeAt });
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    throw error;
  }
}

/** Removes what backups have left whose process ended; one that is being made is younger. */
function removeUnfinished(parent: string, nowMs: number): void {
  for (const name of existsSync(parent) ? readdirSync(parent) : []) {
    const path = join(parent, name);
    if (!name.endsWith(PARTIAL) || nowMs - statSync(path).mtimeMs < UNFINISHED_MS) continue;
    rmSync(path, { recursive: true, force: true });
  }
}

/** Removes a backup that turned out to restore nothing. */
export function removeBackup({ folder }: FoundBackup): void {
  rmSync(folder, { recursive: true, force: true });
}

async function fill(
  { backends, configuration }: { backends: Backends; configuration: Configuration },
  { partial, folder, madeAt }: { partial: string; folder: string; madeAt: string },
): Promise<FoundBackup> {
  const { kmsKey } = await settledEpoch(backends);
  const { erasures, backupStart } = backends.privacy();
  // Made where there was none: one that is missing is not begun anew.
  await erasures.assertOwn();
  await erasures.begin();
  const head = await erasures.head();
  // In the vault before it is copied: a restore trusts no number that lies beside it.
  await backupStart.raise(head);
  await copyData({ backends, configuration }, partial);
  // A turn that began meanwhile may have left the copy between two keys.
  if ((await settledEpoch(backends)).kmsKey !== kmsKey) throw inTurn();
  // Another backup that began meanwhile, after more erasures, may have raised it in this copy.
  if ((await backupStart.read()).number !== head.number) throw besideAnother();
  const manifest: BackupManifest = {
    format: 1,
    madeAt,
    kmsKey,
    erasuresHead: headToText(head),
  };
  writeFileSync(join(partial, MANIFEST), JSON.stringify(manifest), { mode: 0o600 });
  renameSync(partial, folder);
  return { folder, manifest };
}

/** A backup beside its keys protects nobody, and one among the data is lost with it. */
function assertApart(configuration: Configuration, parent: string): void {
  const { kms, signingFolder } = configuration;
  const keys = kms.engine === 'local' ? [kms.folder, signingFolder] : [signingFolder];
  const beside = [configuration.erasuresFolder, configuration.certificatesFolder];
  const taken = [...keys, ...beside, ...embeddedFiles(configuration).map(dirname)];
  if (!taken.some((folder) => isInside(folder, resolve(parent)))) return;
  const text =
    `${parent} lies inside the folder of the data, of the keys, of the list of erasures or of ` +
    'certificates: choose another place';
  throw new LetheError('INPUT_INVALID', text);
}

function makeFolder(folder: string): void {
  try {
    makeFolders(folder);
  } catch (cause) {
    const text = `cannot make the folder ${folder} (${(cause as NodeJS.ErrnoException).code})`;
    throw new LetheError('INPUT_INVALID', text, { cause });
  }
}

async function settledEpoch(backends: Backends) {
  const status = await backends.epoch().status();
  if (status.lastTurn?.step === 'begun' || status.lastTurn?.step === 'apps') throw inTurn();
  return status;
}

function besideAnother(): LetheError {
  const text = 'another backup was begun meanwhile: try again when it has ended';
  return new LetheError('CONTENDED', text, { retryable: true });
}

function inTurn(): LetheError {
  const text = 'a turn of the epoch is under way: finish it (lethe epoch turn), then back up';
  return new LetheError('CONTENDED', text, { retryable: true });
}

/** The backup that a folder is, or the ones it holds, newest first. Throws INPUT_INVALID: none. */
export function findBackups(folder: string): FoundBackup[] {
  const own = readManifest(folder);
  if (own !== undefined) return [own];
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const found = names.flatMap((name) => readManifest(join(folder, name)) ?? []);
  if (found.length === 0) throw new LetheError('INPUT_INVALID', `there is no backup in ${folder}`);
  return found.sort((a, b) => b.manifest.madeAt.localeCompare(a.manifest.madeAt));
}

function readManifest(folder: string): FoundBackup | undefined {
  const file = join(folder, MANIFEST);
  if (!existsSync(file)) return undefined;
  const { format, madeAt, kmsKey, ...more } = parseManifest(readRegularFile(file).toString('utf8'));
  if (typeof format === 'number' && format !== 1) {
    throw new LetheError('FORMAT_UNKNOWN', `${file}: use a newer Lethe`);
  }
  if (format === 1 && typeof madeAt === 'string' && typeof kmsKey === 'string') {
    return { folder, manifest: { format, madeAt, kmsKey, ...more } as BackupManifest };
  }
  throw new LetheError('BACKUP_UNUSABLE', `${file} is damaged: use another backup`);
}

function parseManifest(text: string): Partial<BackupManifest> {
  try {
    return (JSON.parse(text) as Partial<BackupManifest> | null) ?? {};
  } catch {
    return {};
  }
}

/** The configuration of a store that lies in a backup, with views of its own. */
export function configurationOf(configuration: Configuration, folder: string): Configuration {
  const file = (name: string) => ({ engine: 'sqlite' as const, file: join(folder, name) });
  const log = file(LOG_COPY);
  return { ...configuration, log, state: log, views: file('views.db'), vault: file(VAULT_COPY) };
}

/**
 * The configuration of a store that is being restored: state and vault lie in a folder, where
 * nobody finds them; log and views too, unless they are on servers and have stayed there.
 */
export function stagedConfiguration(configuration: Configuration, folder: string): Configuration {
  const { log, views } = configuration;
  const staged = configurationOf(configuration, folder);
  return {
    ...staged,
    log: log.engine === 'sqlite' ? staged.log : log,
    views: views.engine === 'sqlite' ? staged.views : views,
  };
}

/**
 * Opens a copy of a backup and looks at every row of its vault. A row that is damaged in `original`
 * too is no fault of the copy. Throws VAULT_TAMPERED, ROOT_KMS_DENIED: it would restore nothing.
 */
export async function testBackup(
  { backends: original, configuration }: { backends: Backends; configuration: Configuration },
  { folder }: FoundBackup,
): Promise<{ rows: number }> {
  const backends = await openBackends(configurationOf(configuration, folder));
  try {
    const { rows, tampered, missing } = await backends.vaultCheck(original.vaultStore());
    if (tampered + missing === 0) return { rows };
    throw new LetheError('VAULT_TAMPERED', `the backup ${folder} does not open as a whole`);
  } finally {
    await backends.close();
    rmSync(join(folder, 'views.db'), { force: true });
  }
}
