import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readConfiguration } from '../../libs/configuration/configuration.ts';
import { fetchComposeLoader } from '../servers/compose-loader.ts';
import { temporaryFolder } from '../support/temporary-store.ts';

const INFRA = join(import.meta.dirname, '../../infra');
const FILE = join(INFRA, 'compose.yaml');

// What opens the vault, or says where it lies.
const OPENS = /^(AWS_|LETHE_(VAULT|KMS|SIGNING))/;

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly volumes?: readonly { readonly type: string; readonly source: string }[];
}

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

/** As `docker compose config` begins: it looks at the names that services use as well. */
function load(file: string) {
  const { status, stdout, stderr } = spawnSync(fetchComposeLoader(), ['-format', 'json', file]);
  return { status, text: stdout.toString(), said: stderr.toString() };
}

/** What the image sets, which a service's own variables stand over. */
function imageVariables(): Record<string, string> {
  const text = readFileSync(join(INFRA, 'Dockerfile'), 'utf8');
  return Object.fromEntries([...text.matchAll(/(LETHE_\w+)=(\S+)/g)].map(([, a, b]) => [a!, b!]));
}

describe('the compose file', () => {
  it('is one, and gives each service variables that it starts with', () => {
    const { status, text, said } = load(FILE);
    expect(status, said).toBe(0);
    const { services, volumes } = JSON.parse(text) as ComposeFile;
    const all = Object.values(services);
    const needed = all.flatMap((one) => Object.keys(one.depends_on ?? {}));
    expect(needed.filter((name) => !(name in services))).toEqual([]);
    const mounted = all.flatMap((one) => one.volumes ?? []).filter((one) => one.type === 'volume');
    expect(mounted.filter((one) => !(one.source in volumes))).toEqual([]);
    const own = Object.entries(services).filter(([, { image }]) => image === 'lethe');
    const commands = own.map(([, { command }]) => command?.join(' ')).sort();
    const serving = ['ingest', 'privacy', 'projector', 'reader'].map((name) => `serve ${name}`);
    expect(commands).toEqual(['migrate', ...serving]);
    for (const [name, { environment }] of own) {
      const variables = Object.entries(environment ?? {}).filter(([one]) => /^LETHE_/.test(one));
      const configuration = readConfiguration({
        ...imageVariables(),
        ...Object.fromEntries(variables),
      });
      const { log, vault, state, views, kms, cache } = configuration;
      if (name === 'projector') {
        expect([log.engine, views.engine]).toEqual(['kafka', 'cassandra']);
        const opening = Object.keys(environment ?? {}).filter((one) => OPENS.test(one));
        expect(opening.map((one) => environment?.[one])).toEqual(['', '', '']);
        continue;
      }
      const engines = [log, vault, state, views, kms, cache].map(({ engine }) => engine);
      const wanted = ['kafka', 'cassandra', 'cassandra', 'cassandra', 'aws-kms', 'redis'];
      expect(engines, name).toEqual(wanted);
    }
  });

  it('would not pass with a word that compose does not know, or a value of another kind', () => {
    const folder = temporaryFolder();
    const broken = (from: string | RegExp, to: string) => {
      const file = join(folder, 'compose.yaml');
      const before = readFileSync(FILE, 'utf8');
      const after = before.replace(from, to);
      expect(after).not.toBe(before);
      writeFileSync(file, after);
      return load(file);
    };
    expect(broken('restart: unless-stopped', 'restrat: unless-stopped').status).not.toBe(0);
    expect(broken('command: [migrate]', 'command: { migrate: 1 }').status).not.toBe(0);
  });
});
