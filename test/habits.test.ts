import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { floorOf, roomOf } from './support/rooms.ts';

const ROOT = join(import.meta.dirname, '..');
const LINE_LENGTH_MAX = 100;
const FILE_LINES_MAX = 500;
const TEST_TITLE = /\b(?:it|describe)(?:\.\w+\([^`']*?\))?\(\s*(['`])((?:\\.|(?!\1).)*)\1/g;
const FOLDER_FILES_MAX = 20;

/** Folders that have more files than that, each with the sentence that defends it. */
const LARGE_FOLDERS: Readonly<Record<string, string>> = {};

// Adapters lie in folders named for their engine.
const ENGINE_FOLDER = /^libs\/.*\/(sqlite|cassandra|kafka|redis|memory|aws|local|s3|file)\//;

// A driver is named only here.
const DRIVERS: Readonly<Record<string, RegExp>> = {
  'node:sqlite': /^libs\/engines\/sqlite-database\.ts$/,
  avsc: /^libs\/codec\/avro\.ts$/,
  fastify: /^libs\/http\//,
  jose: /^libs\/access\/access-keys\.ts$/,
  commander: /^services\/cli\//,
  'cassandra-driver': /^libs\/engines\/cassandra-database\.ts$/,
  kafkajs: /^libs\/event-log\/kafka\//,
  ioredis: /^libs\/views\/cache\/redis\//,
  '@aws-sdk/client-s3': /^libs\/blobs\/s3\//,
  '@aws-sdk/lib-storage': /^libs\/blobs\/s3\//,
  '@aws-sdk/client-kms': /^libs\/vault\/keys\/aws\//,
  '@prometheus-io/client': /^services\/server\/metrics\.ts$/,
  '@opentelemetry/api': /^libs\/engines\/tracing\.ts$/,
};

function filesUnder(folder: string): string[] {
  const names = readdirSync(join(ROOT, folder)).filter((name) => name !== 'node_modules');
  return names.flatMap((name) => {
    const path = `${folder}/${name}`;
    if (statSync(join(ROOT, path)).isDirectory()) return filesUnder(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

const product = [...filesUnder('libs'), ...filesUnder('services')];
const tests = [...filesUnder('test'), ...filesUnder('infra')];
const text = (file: string) => readFileSync(join(ROOT, file), 'utf8');

interface Import {
  readonly from: string;
  readonly names: string;
}

function importsOf(file: string): Import[] {
  const pattern = /(?:import|export)\s+(type\s+)?([^'";]*?)\s*from\s+'([^']+)'/g;
  return [...text(file).matchAll(pattern)].map((match) => {
    const from = match[3]!;
    const isOwn = from.startsWith('.');
    const path = isOwn ? relative(ROOT, normalize(join(ROOT, dirname(file), from))) : from;
    return { from: path, names: match[2]! };
  });
}

/** Sentences of a file's comments; pictures of bytes and of flows are none. */
function commentSentences(file: string): string[] {
  const comments: string[] = [];
  let open = false;
  for (const line of text(file)
    .split('\n')
    .map((one) => one.trim())) {
    const isLine = line.startsWith('//');
    if (!open && !isLine && !line.startsWith('/**')) comments.push('');
    else
      comments.push(
        `${comments.pop() ?? ''} ${line.replaceAll(/^\/\*\*|\*\/$|^\*|^\/\//g, '') || '.'}`,
      );
    open = (open || line.startsWith('/**')) && !line.endsWith('*/');
    if (line.endsWith('*/')) comments.push('');
  }
  const prose = comments.filter((one) => !/‖|─>/.test(one));
  return prose.flatMap((one) => one.split(/(?<=[.!?:;])\s+/));
}

/** What each file exports to other rooms. */
function usedElsewhere(): Map<string, Set<string>> {
  const used = new Map<string, Set<string>>();
  for (const file of product) {
    for (const { from, names } of importsOf(file)) {
      if (roomOf(from) === undefined || roomOf(from) === roomOf(file)) continue;
      const known = used.get(from) ?? new Set();
      for (const name of names.replaceAll(/[{}]|\btype\b/g, '').split(',')) known.add(name.trim());
      used.set(from, known);
    }
  }
  return used;
}

describe('habits', () => {
  it('finds the files it is to judge', () => {
    expect(product.length).toBeGreaterThan(80);
    expect(importsOf('libs/wiring/open-backends.ts').length).toBeGreaterThan(20);
  });

  it('every file lies in a room', () => {
    for (const file of product) expect(floorOf(file), file).toBeGreaterThanOrEqual(0);
  });

  it.each(product)('%s imports only from rooms before its own, and from no sibling', (file) => {
    for (const { from } of importsOf(file).filter((one) => /^(libs|services)\//.test(one.from))) {
      if (roomOf(from) === roomOf(file)) continue;
      expect(floorOf(from), `${file} imports ${from}`).toBeLessThan(floorOf(file));
    }
  });

  it('no service imports another: server, operations and cli put them together', () => {
    const serviceOf = (file: string) =>
      /^services\/(ingest|projector|reader|privacy)\//.exec(file)?.[1];
    for (const file of product) {
      const own = serviceOf(file);
      for (const { from } of importsOf(file)) {
        const other = serviceOf(from);
        if (own !== undefined && other !== undefined) expect(other, `${file} ${from}`).toBe(own);
      }
    }
  });

  it('drivers are named only in their own files', () => {
    for (const file of product) {
      for (const { from } of importsOf(file)) {
        const allowed = DRIVERS[from];
        if (allowed !== undefined) expect(file, `names ${from}`).toMatch(allowed);
      }
    }
  });

  it('an adapter is imported by the wiring, and by adapters of the same engine, alone', () => {
    const engineOf = (file: string) => ENGINE_FOLDER.exec(file)?.[1];
    for (const file of product.filter((one) => !one.startsWith('libs/wiring/'))) {
      for (const { from } of importsOf(file)) {
        const engine = engineOf(from);
        if (engine !== undefined) expect(engineOf(file), `${file} imports ${from}`).toBe(engine);
      }
    }
  });

  it('a folder of more than 20 files is defended, or changed', () => {
    const counts = new Map<string, number>();
    for (const file of product) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    const large = [...counts].filter(([, count]) => count > FOLDER_FILES_MAX);
    expect(large.map(([folder]) => folder)).toEqual(Object.keys(LARGE_FOLDERS));
  });

  it('powers to shred and to hold are named only where they are made, handed out and used', () => {
    const allowed = /^(libs\/(keyring|vault|wiring)|services\/privacy)\//;
    for (const file of product) {
      if (/(Keyring|Directory)Shred|KeyringHold/.test(text(file))) expect(file).toMatch(allowed);
    }
  });

  it('no service knows the rows of the vault', () => {
    for (const file of product.filter((one) => one.startsWith('services/'))) {
      for (const { from } of importsOf(file))
        expect(roomOf(from), file).not.toBe('libs/vault/rows');
    }
  });

  it('a kind of request is named where it is defined, asked for or asked about, and nowhere else', () => {
    const named = /'(erase|clear|forget|delete|release|merge)-[a-z]+'/;
    const allowed =
      /^(libs\/requests\/request\.ts|services\/(privacy\/(kinds|doors)|ingest\/accept|cli\/commands)\/)/;
    for (const file of product) if (named.test(text(file))) expect(file).toMatch(allowed);
  });

  it('the projector names nothing of the vault', () => {
    for (const file of product.filter((one) => one.startsWith('services/projector/'))) {
      expect(text(file)).not.toMatch(/libs\/(vault|keyring|sealing|access)\//);
    }
  });

  it.each([...product, ...tests])('%s is small, in one style and finished', (file) => {
    const lines = text(file).split('\n');
    expect(lines.length, 'lines').toBeLessThanOrEqual(FILE_LINES_MAX);
    const long = lines.findIndex((line) => line.length > LINE_LENGTH_MAX);
    const title = /^\s*(it|describe|it\.each)\(/.test(lines[long] ?? '');
    expect(long < 0 || (file.startsWith('test/') && title), `line ${long + 1}`).toBe(true);
    for (const [, , words] of text(file).matchAll(TEST_TITLE)) {
      expect(words!.length, words).toBeLessThanOrEqual(LINE_LENGTH_MAX);
    }
    const left = new RegExp(['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|'));
    expect(lines.some((line) => left.test(line))).toBe(false);
    const first = lines.find((line) => !line.startsWith('#!'));
    if (!file.endsWith('.test.ts')) expect(first, 'a header says what it is').toMatch(/^\/\*\*/);
  });

  it('what another room uses says what it promises', () => {
    const undocumented: string[] = [];
    for (const [file, names] of usedElsewhere()) {
      const lines = text(file).split('\n');
      for (const [i, line] of lines.entries()) {
        const name = /^export (?:async )?(?:function\*?|const|interface|type|class) (\w+)/.exec(
          line,
        );
        if (name === null || !names.has(name[1]!)) continue;
        if (!lines[i - 1]?.endsWith('*/')) undocumented.push(`${file}: ${name[1]}`);
      }
    }
    expect(undocumented).toEqual([]);
  });

  it('a sentence of a comment has 25 words at most', () => {
    for (const file of product) {
      for (const sentence of commentSentences(file)) {
        const words = sentence.split(/\s+/).filter((word) => /\w/.test(word));
        expect(words.length, `${file}: ${sentence}`).toBeLessThanOrEqual(25);
      }
    }
  });

  it('a class is an error, or keeps state or a key of its own: all else is functions', () => {
    const pattern = /^(?:export )?(?:abstract )?class (\w+)([^{]*)\{(.*?)^\}/gms;
    const bare = product.flatMap((file) => {
      const classes = [...text(file).matchAll(pattern)];
      return classes
        .filter(([, , head, body]) => !head!.includes(' extends ') && !/^ {2}.*#\w+/m.test(body!))
        .map(([, name]) => `${file}: ${name}`);
    });
    expect(bare).toEqual([]);
  });

  it('file names are unique, so that a stack trace is unambiguous', () => {
    const names = product.map((file) => file.split('/').at(-1)!);
    const twice = names.filter((name, i) => names.indexOf(name) !== i && name !== 'main.ts');
    expect(twice).toEqual([]);
  });

  it('nothing is re-exported and there is no index', () => {
    for (const file of product) {
      expect(text(file), file).not.toMatch(/^export\s+(\*|\{[^}]*\}\s+from)/m);
      expect(file).not.toMatch(/index\.ts$/);
    }
  });
});
