/**
 * What somebody with the disk finds. Given texts are searched for in every file of the store,
 * beside its files and keys, and of its backups and lists. Every row of the vault is looked at.
 * Running services are asked for what is lost.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { AppId } from '../../libs/base/ids.ts';
import { type Configuration, embeddedFiles } from '../../libs/configuration/configuration.ts';
import type { VaultFindings } from '../../libs/vault/copy/vault-check.ts';
import type { Backends, OpenStore } from '../../libs/wiring/open-backends.ts';
import { type AttackedApp, attackRunning } from '../privacy/life/attack-running.ts';
import { filesBelow, filesIn, type SearchHit, searchFiles } from './disk-search.ts';
import { copyOutServers, isOnServers, SERVER_FILES } from './server-copies.ts';

const NOT_TRIED = [
  'memory of running processes',
  'blocks of the disk that the file system has given up',
  'copies that lie elsewhere',
];

/** What was tried, and what came of it. */
export interface AttackedStore {
  readonly passed: boolean;
  readonly tried: { readonly texts: number; readonly files: number; readonly rows: number };
  readonly hits: readonly SearchHit[];
  readonly vault: VaultFindings;
  /** Each app's lost messages, asked for at every running service. */
  readonly running: readonly (AttackedApp & { readonly app: AppId })[];
  readonly notTried: readonly string[];
}

/** Attacks a store that may be in use. Throws the engines' failures. */
export async function attackStore(
  store: OpenStore,
  texts: readonly string[],
): Promise<AttackedStore> {
  const { backends } = store;
  const { files, hits } = await searchStore(store, texts);
  const vault = await backends.vaultCheck();
  const running = await attackServices(backends);
  const isTold = running.some(({ services }) => services.some((one) => one.opened > 0));
  const passed = hits.length === 0 && vault.tampered + vault.missing === 0 && !isTold;
  const tried = { texts: texts.length, files: files.length, rows: vault.rows };
  const onServers = isOnServers(store) ? [SERVER_FILES] : [];
  const unasked = new Set(running.flatMap((one) => one.notTried));
  const notTried = [...NOT_TRIED, ...onServers, ...unasked];
  return { passed, tried, hits, vault, running, notTried };
}

/** The files of the store and, in a folder that goes again, what servers hold of it. */
async function searchStore(store: OpenStore, texts: readonly string[]) {
  const own = filesOf(store.configuration);
  if (!isOnServers(store)) return { files: own, hits: searchFiles(own, texts) };
  const folder = mkdtempSync(join(tmpdir(), 'lethe-attack-'));
  try {
    await copyOutServers(store, folder);
    const files = [...own, ...filesBelow(folder)];
    return { files, hits: searchFiles(files, texts) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What is lost of each app is asked for wherever somebody answers. */
async function attackServices(backends: Backends) {
  const powers = backends.privacy();
  const attacked = [];
  for (const { id } of await powers.apps.list()) {
    attacked.push({ app: id, ...(await attackRunning(powers, id)) });
  }
  return attacked;
}

/** Its own, what else lies beside them, and all of its side folders. */
function filesOf(configuration: Configuration): string[] {
  const { backupsFolder, certificatesFolder, erasuresFolder, signingFolder, kms } = configuration;
  const homes = [...embeddedFiles(configuration).map((file) => dirname(file)), signingFolder];
  if (kms.engine === 'local') homes.push(kms.folder);
  const beside = [...new Set(homes)].flatMap(filesIn);
  const below = [backupsFolder, certificatesFolder, erasuresFolder].flatMap(filesBelow);
  return [...new Set([...beside, ...below])];
}
