/**
 * `lethe attack`: what somebody with the disk finds. Every file of the store, its backups and its
 * lists is searched for given texts, every row of the vault is looked at, and running services are
 * asked for what is lost.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { Backends } from '../../libs/backends/open-backends.ts';
import { LetheError } from '../../libs/base/lethe-error.ts';
import { type Configuration, embeddedFiles } from '../../libs/configuration/configuration.ts';
import { attackRunning } from '../privacy/attack-running.ts';
import { filesBelow, searchFiles } from './disk-search.ts';
import { type OpenStore, withStore } from './open-store.ts';
import { copyOutServers, isOnServers, SERVER_FILES } from './server-copies.ts';
import { exitCodes, printResult } from './terminal.ts';

const NOT_TRIED = [
  'memory of running processes',
  'blocks of the disk that the file system has given up',
  'copies that lie elsewhere',
];

/** Adds the command. */
export function addAttackCommand(program: Command): void {
  program
    .command('attack')
    .description('search every file for texts that must not be there, and check the vault')
    .argument('[file]', 'texts, one a line: names, identities, sentences; - is standard input', '-')
    .option('--json', 'print JSON')
    .action((file: string, options) =>
      withStore(async (store) => {
        const { backends } = store;
        const texts = readTexts(file);
        const { files, hits } = await searchStore(store, texts);
        const vault = await backends.vaultCheck();
        const running = await attackServices(backends);
        const leaking = running.flatMap((one) => one.services).filter((one) => one.opened > 0);
        const found = hits.map(({ file: where, form }) => ({ file: where, form }));
        const isSound = vault.tampered + vault.missing === 0 && leaking.length === 0;
        const passed = hits.length === 0 && isSound;
        const tried = { texts: texts.length, files: files.length, rows: vault.rows };
        const onServers = isOnServers(store) ? [SERVER_FILES] : [];
        const notTried = [
          ...NOT_TRIED,
          ...onServers,
          ...new Set(running.flatMap((one) => one.notTried)),
        ];
        printResult(options.json, { passed, tried, hits: found, vault, running, notTried }, [
          ...found.map((hit) => `FOUND   ${hit.form} in ${hit.file}`),
          `${texts.length} texts in ${files.length} files, in every form: ${hits.length} hits`,
          `${vault.rows} rows of the vault: ${vault.tampered} do not authenticate`,
          ...leaking.map((one) => `LEAK    ${one.door} tells ${one.opened} lost messages`),
          ...running.map(({ app, lost, services }) => {
            return `app ${app}: ${lost} lost messages asked for at ${services.length} services`;
          }),
          ...notTried.map((what) => `not tried: ${what}`),
        ]);
        if (!passed) process.exitCode = exitCodes.failed;
      }),
    );
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

function readTexts(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    throw new LetheError('INPUT_INVALID', 'the texts cannot be read', { cause });
  }
  // Shorter ones are found by chance.
  const texts = text.split('\n').filter((line) => line.trim().length >= 4);
  if (texts.length > 0) return texts;
  throw new LetheError('INPUT_INVALID', 'give texts of four characters or more, one a line');
}

function filesOf(configuration: Configuration): string[] {
  const { erasuresFile } = configuration;
  const { backupsFolder, certificatesFolder } = configuration;
  const files = embeddedFiles(configuration);
  const folders = [backupsFolder, certificatesFolder, dirname(erasuresFile)];
  const own = files.flatMap((file) => ['', '-wal', '-shm'].map((end) => file + end));
  const below = folders.filter((folder) => existsSync(folder)).flatMap(filesBelow);
  return [...new Set([...own.filter((file) => existsSync(file)), ...below])];
}
