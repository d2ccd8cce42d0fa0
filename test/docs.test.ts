import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { configurationTable } from '../services/cli/configuration-table.ts';
import { createProgram } from '../services/cli/program.ts';
import { PERSONAL } from './support/events.ts';
import { commandsOf, readPages, shellBlocks } from './support/pages.ts';
import { roomsTable } from './support/rooms.ts';
import { openTestServer } from './support/test-server.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..');
const pages = readPages(ROOT);
const named = Object.keys(pages);
const page = (name: string) => pages[name]!;

/** Paths that pages name as examples of what is not there yet. */
const NOT_THERE_YET = ['libs/views/postgres/'];

function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, title]) => {
    const words = title!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '');
    return words.replaceAll(' ', '-');
  });
}

function between(text: string, mark: string): string {
  return new RegExp(`<!-- ${mark} -->\n([\\s\\S]*?)\n<!-- /${mark} -->`).exec(text)![1]!;
}

describe('the pages', () => {
  it.each(named)('%s links to pages and headings that are there', (name) => {
    for (const [, target] of page(name).matchAll(/\]\(([^)]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [path, anchor] = target!.split('#');
      const file = path === '' ? name : normalize(join(dirname(name), path!));
      expect(existsSync(join(ROOT, file)), target).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(page(file)), target).toContain(anchor);
    }
  });

  it.each(named)('%s names files and folders that are there', (name) => {
    const paths = page(name).matchAll(/`((?:libs|services|schemas|infra|test|docs)\/[^`\s]*)`/g);
    for (const [, path] of paths) {
      if (NOT_THERE_YET.includes(path!)) continue;
      expect(existsSync(join(ROOT, path!)), path).toBe(true);
    }
  });

  it.each(named)('%s shows commands, options and scripts that exist', (name) => {
    for (const command of commandsOf(page(name))) expectKnown(command);
  });

  it('are short where they are entered, and no line of the README is over 160 characters', () => {
    const lines = page('README.md').split('\n');
    expect(lines.length).toBeLessThanOrEqual(150);
    for (const line of lines) expect([...line].length, line).toBeLessThanOrEqual(160);
  });

  it('say at the entrance that old copies of the vault still open what was erased', () => {
    expect(page('README.md')).toContain('**old copies of\nthe vault** until T1'.replace('\n', ' '));
    expect(page('docs/erasing.md')).toContain('**Old copies of the vault**');
  });

  it('show the variables exactly as they are checked', () => {
    expect(between(page('docs/configuration.md'), 'configuration')).toBe(configurationTable());
  });

  it('show the rooms in the order that the habits hold', () => {
    expect(between(page('docs/architecture.md'), 'rooms')).toBe(roomsTable());
  });

  it('explain every scenario that a test names, and each of them has a test', () => {
    const explained = [...page('docs/scenarios.md').matchAll(/^\| (S\d\d) \|/gm)].map(
      ([, n]) => n!,
    );
    expect(explained).toEqual([...scenariosOfTests()].sort());
  });

  it('list every route that OpenAPI describes, and no other', async () => {
    const server = await openTestServer();
    const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, unknown>>;
    };
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const rows = page('docs/api.md').matchAll(/((?:(?:GET|POST|PATCH|DELETE),? )+)`(\/v2[^`]*)`/g);
    const shown = new Set(
      [...rows].flatMap(([, methods, path]) =>
        methods!.split(/,? /).flatMap((method) => (method === '' ? [] : `${method} ${path}`)),
      ),
    );
    expect([...shown].sort()).toEqual(described.sort());
  });
});

/** A command line of a page, against the program's own commands and options, or npm's scripts. */
function expectKnown(words: readonly string[]): void {
  const [tool, ...rest] = words;
  if (tool === 'npm') {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const at = rest.indexOf('run');
    const script = rest[0] === 'test' ? 'test' : rest.slice(at + 1).find((one) => one !== '-s');
    if (rest[0] !== 'ci') expect(Object.keys(scripts), words.join(' ')).toContain(script);
    return;
  }
  let command: Command = createProgram();
  const left = [...rest];
  for (;;) {
    const next = command.commands.find((one) => one.name() === left[0]);
    if (next === undefined) break;
    command = next;
    left.shift();
  }
  expect(command.parent, `${words.join(' ')}: no such command`).not.toBeNull();
  const options = command.options.flatMap(({ long, short }) => [long, short]);
  for (const word of left.filter((one) => one.startsWith('--'))) {
    expect(options, words.join(' ')).toContain(word.split('=')[0]);
  }
}

function scenariosOfTests(): Set<string> {
  const found = new Set<string>();
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((one) => one.endsWith('.test.ts'))) {
    const titles = readFileSync(join(ROOT, 'test', file), 'utf8').matchAll(/\bS\d\d\b/g);
    for (const [number] of titles) found.add(number);
  }
  return found;
}

describe('the first message of the README', () => {
  it('is sent, read, erased and refused by the commands as they stand there', async () => {
    const server = await openTestServer();
    const values: Record<string, string> = {
      APP: server.app,
      KEY: server.key,
      U: `${server.url}/v2/apps/${server.app}`,
    };
    const curls = shellBlocks(page('README.md')).filter((block) => block.startsWith('curl'));
    expect(curls).toHaveLength(3);
    const [send, read, erase] = curls;
    await expect(server.curl(send!, values)).resolves.toMatchObject([{ accepted: 1 }]);
    await server.project();
    const [first] = await server.curl(read!.split('\n')[0]!, values);
    values.CONVERSATION = (first as { conversations: { id: string }[] }).conversations[0]!.id;
    const [listed] = await server.curl(read!.split('\n')[1]!, values);
    const [message] = (listed as { messages: Shown[] }).messages;
    expect(message!.content!.text).toBe('hello');
    values.USER = message!.author!.userId;
    const [gone, after] = await server.curl(erase!, values);
    expect(gone).toEqual({ certificate: { id: expect.any(String), salt: expect.any(String) } });
    expect(after).toMatchObject({ errors: [{ code: 'conversation_not_found' }] });
    await expect(server.curl(send!, values)).resolves.toMatchObject([{ erased: 1 }]);
  });
});

interface Shown {
  readonly author?: { userId: string };
  readonly content?: { text: string };
}

describe('a request for erasure, step by step', () => {
  it('is answered by the commands as they stand on the page', { timeout: 90_000 }, async () => {
    const server = await openTestServer();
    const identity = { channel: 'sms', externalId: '+15550100' };
    const data = {
      conversation: PERSONAL,
      author: { type: 'user', identity },
      content: { type: 'text', text: 'words' },
    };
    await server.deliver({
      specversion: '1.0',
      type: 'lethe.message.received',
      source: '/channels/sms/main',
      id: 's-1',
      time: '2025-03-01T12:00:00Z',
      data,
    });
    const values: Record<string, string> = { main: server.appName };
    const steps = shellBlocks(page('docs/erasing.md')).flatMap((block) => block.split('\n'));
    expect(steps.length).toBeGreaterThanOrEqual(6);
    const seen: string[] = [];
    for (const step of steps) {
      const [printed, command] = step.includes('|') ? step.split('|') : ['', step];
      const words = command!.trim().split(/\s+/).slice(2);
      const given = words.map((word) => values[word] ?? values[word.split('/').at(-1)!] ?? word);
      const args = ['services/cli/main.ts', ...given, '--json'];
      const env = { ...process.env, ...server.variables };
      // Rejects when a command does not exit 0.
      const running = run(process.execPath, args, { cwd: ROOT, env });
      running.child.stdin?.end(printed!.replace('printf %s', '').trim());
      const { stdout, stderr } = await running;
      expect(stderr, step).toBe('');
      const shown = JSON.parse(stdout);
      seen.push(words.slice(0, 2).join(' '));
      if (words[0] === 'find') values.SUBJECT = shown.subjectId;
      if (shown.certificate !== undefined) {
        values['ID.json'] = shown.certificate;
        values['public-key.pem'] = shown.publicKey;
        values.SALT = shown.salt;
      }
      if (words[0] === 'verify')
        expect(shown).toMatchObject({ valid: true, aboutThisPerson: true });
    }
    expect(seen.slice(-2)).toEqual(['epoch turn', 'epoch status']);
  });
});
