import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';
import { openDoor } from '../support/door.ts';
import { GROUP, PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { temporaryFolder } from '../support/temporary-store.ts';

const HERE = import.meta.dirname;
const TOOLS = join(HERE, '../../node_modules/.cache/lethe-strangers');
const PROGRAM = join(TOOLS, 'bin/schemathesis');
const BYTES_MAX = 64 * 1_048_576;

/** Runs a program to its end, beside the server; what it printed. */
async function run(program: string, args: readonly string[], cwd = HERE): Promise<string> {
  try {
    return (await promisify(execFile)(program, args, { cwd, maxBuffer: BYTES_MAX })).stdout;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} failed:\n${stdout}\n${stderr}`);
  }
}

beforeAll(async () => {
  if (existsSync(PROGRAM)) return;
  await run('python3', ['-m', 'venv', TOOLS]);
  await run(join(TOOLS, 'bin/pip'), ['install', '--quiet', '-r', join(HERE, 'requirements.txt')]);
});

/**
 * What it does not look at: whether all that a schema allows is taken, what other methods answer,
 * whether what was written is seen at once, and whether what was forgotten is a 404.
 */
const LEFT_OUT = [
  'positive_data_acceptance',
  'unsupported_method',
  'use_after_free',
  'ensure_resource_availability',
];

it('the OpenAPI document is kept to: no status that it does not name, no answer of another shape', async () => {
  const door = await openDoor();
  const { store } = door;
  await store.deliver(
    received('ann', 'hers', { conversation: PERSONAL, displayName: 'Ann' }),
    received('ben', 'his', { conversation: GROUP }),
  );
  const [user] = (await door.call('GET', '/users')).body.users;
  const [conversation] = (await door.call('GET', '/conversations')).body.conversations;
  const messages = await door.call('GET', `/conversations/${conversation.id}/messages`);
  const folder = temporaryFolder();
  const ids = {
    appId: store.app.id,
    userId: user.id,
    conversationId: conversation.id,
    messageId: messages.body.messages[0].id,
  };
  const parameters = Object.entries(ids).map(([name, value]) => `${name} = "${value}"`);
  const settings = [
    ...['[parameters]', ...parameters],
    ...['[checks]', ...LEFT_OUT.map((check) => `${check}.enabled = false`)],
    // A batch is answered 200, and each of its events by itself.
    ...['[[operations]]', 'include-path = "/v2/apps/{appId}/events"'],
    'checks.negative_data_rejection.enabled = false',
    // 503 with Retry-After: what a single event is about has not come yet. Documented, so kept to.
    'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]',
  ];
  writeFileSync(join(folder, 'schemathesis.toml'), `${settings.join('\n')}\n`);
  const document = `${new URL(door.base).origin}/openapi.json`;
  const examples = process.env.CI === undefined ? 60 : 20;
  const given = [
    ['--config-file', 'schemathesis.toml', 'run', document],
    ['--auth', `${door.key.id}:${door.key.secret}`],
    // A stream has no end.
    ['--exclude-path-regex', 'stream$'],
    ['--max-examples', String(examples), '--continue-on-failure', '--seed', '1'],
    ['--report', 'json', '--report-json-path', join(folder, 'report.json')],
  ].flat();
  const said = await run(PROGRAM, given, folder);
  const [cases] = /\d+ generated/.exec(said) ?? [];
  recordFigures('strangers', { schemathesis: cases });
  expect(Number.parseInt(cases!, 10)).toBeGreaterThan(500);
});
