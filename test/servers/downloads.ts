/**
 * What the servers are made of, brought once into a cache folder by the ordinary clients of Maven,
 * PyPI, Go and Debian. A folder appears under its name only when it is whole.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.0';

/** Where downloads are kept: LETHE_SERVERS_CACHE, or the user's cache folder. */
export function cacheFolder(): string {
  const given = process.env.LETHE_SERVERS_CACHE;
  return given || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'lethe-servers');
}

/** A Maven artifact, and what of it is left out. */
export interface Artifact {
  readonly group: string;
  readonly name: string;
  readonly version: string;
  readonly without?: readonly { group: string; name: string }[];
  readonly also?: readonly { group: string; name: string; version: string }[];
}

/** All jars that an artifact needs to run; the folder that holds them. */
export function fetchJars(artifact: Artifact): string {
  return fetchOnce(`${artifact.name}-${artifact.version}`, (folder) => {
    writeFileSync(join(folder, 'pom.xml'), pomOf(artifact));
    const goal = `${DEPENDENCY_PLUGIN}:copy-dependencies`;
    const to = ['-DincludeScope=runtime', '-DoutputDirectory=libs'];
    run('mvn', ['-B', '-q', goal, ...to], { folder, needs: 'Maven and a Java of 17 or later' });
  });
}

function pomOf({ group, name, version, without = [], also = [] }: Artifact): string {
  const exclusions = without.map(
    (one) =>
      `<exclusion><groupId>${one.group}</groupId><artifactId>${one.name}</artifactId></exclusion>`,
  );
  const coordinates = (one: { group: string; name: string; version: string }) =>
    `<groupId>${one.group}</groupId><artifactId>${one.name}</artifactId>` +
    `<version>${one.version}</version>`;
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>lethe</groupId><artifactId>servers</artifactId><version>1</version><dependencies>
<dependency>${coordinates({ group, name, version })}
<exclusions>${exclusions.join('')}</exclusions></dependency>
${also.map((one) => `<dependency>${coordinates(one)}</dependency>`).join('\n')}
</dependencies></project>\n`;
}

/** A Python environment with these packages; its interpreter. */
export function fetchPython(
  name: string,
  packages: readonly string[],
  constraints: readonly string[],
): string {
  const folder = fetchOnce(name, (made) => {
    const needs = 'Python 3.11 or later with venv';
    run('python3', ['-m', 'venv', '.'], { folder: made, needs });
    writeFileSync(join(made, 'constraints.txt'), `${constraints.join('\n')}\n`);
    const install = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check'];
    const args = [...install, '-c', 'constraints.txt', ...packages];
    run(join(made, 'bin/python'), args, { folder: made, needs });
  });
  return join(folder, 'bin/python');
}

/** A program of a Go module; its file. */
export function fetchGo(module: string, version: string, name?: string): string {
  const program = module.split('/').at(-1)!;
  const folder = fetchOnce(`${name ?? program}-${version}`, (made) => {
    const env = { GOBIN: made, GOFLAGS: '-modcacherw' };
    run('go', ['install', `${module}@${version}`], { folder: made, needs: 'Go', env });
  });
  return join(folder, program);
}

/** The files of Debian packages, unpacked and not installed; the folder. */
export function fetchDebian(name: string, packages: readonly string[]): string {
  return fetchOnce(name, (folder) => {
    const needs = 'Debian, or this server installed by other means';
    run('apt-get', ['download', '-q', ...packages], { folder, needs });
    for (const file of readdirSync(folder).filter((one) => one.endsWith('.deb'))) {
      run('dpkg', ['-x', file, '.'], { folder, needs });
      rmSync(join(folder, file));
    }
  });
}

/** A program among Debian packages, by its path there; what it links to lies beside it. */
export function fetchDebianProgram(
  name: string,
  packages: readonly string[],
  path: string,
): { command: string; env: Record<string, string> } {
  const folder = fetchDebian(name, packages);
  const libraries = join(folder, 'usr/lib');
  const [machine] = readdirSync(libraries).filter((one) => one.includes('linux-gnu'));
  const command = join(folder, path);
  if (machine === undefined || !existsSync(command)) {
    throw new Error(`${name}: packages not as known`);
  }
  return { command, env: { LD_LIBRARY_PATH: join(libraries, machine) } };
}

function fetchOnce(name: string, make: (folder: string) => void): string {
  const folder = join(cacheFolder(), name);
  if (existsSync(join(folder, '.whole'))) return folder;
  process.stderr.write(`downloading ${name}\n`);
  rmSync(folder, { recursive: true, force: true });
  // Python environments name their own folder: they are made in place.
  mkdirSync(folder, { recursive: true });
  make(folder);
  const mark = join(folder, '.whole');
  writeFileSync(`${mark}.new`, '');
  renameSync(`${mark}.new`, mark);
  return folder;
}

function run(
  command: string,
  args: readonly string[],
  at: { folder: string; needs: string; env?: Record<string, string> },
): void {
  const done = spawnSync(command, args, {
    cwd: at.folder,
    env: { ...process.env, ...at.env },
    encoding: 'utf8',
  });
  if (done.error !== undefined) {
    throw new Error(`cannot run ${command} (${done.error.message}): it needs ${at.needs}`);
  }
  if (done.status === 0) return;
  const said = `${done.stdout}${done.stderr}`.slice(-2_000);
  throw new Error(`${command} ended with ${done.status}:\n${said}`);
}
