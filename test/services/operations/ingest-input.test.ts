import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import { ingestFiles, type Problem } from '../../../services/operations/ingest-files.ts';
import { edited, received } from '../../support/events.ts';
import { startLethe } from '../../support/processes.ts';
import { groupOf, messagesOf, textsOf } from '../../support/reading.ts';
import { openTestStore } from '../../support/temporary-store.ts';

type Line = object | string | Buffer;

const bytesOf = (line: Line) =>
  Buffer.isBuffer(line)
    ? line
    : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line));

async function ingest(content: Buffer) {
  const store = await openTestStore();
  const file = join(store.folder, 'input.jsonl');
  writeFileSync(file, content);
  const problems: Problem[] = [];
  const report = join(store.folder, 'rejected.jsonl');
  const onProblem = (problem: Problem) => void problems.push(problem);
  const options = { app: store.app.id, wait: false, report, onProblem };
  const summary = await ingestFiles(store, [file], options);
  await store.project();
  return { store, summary, problems, report };
}

const lines = (...given: Line[]) =>
  Buffer.concat(given.flatMap((line) => [bytesOf(line), Buffer.from('\n')]));

const PLANTED = 'planted-words-of-the-input';
const good = (id: string) => received('ann', `good ${id}`, { id });
const bad = (change: object) => ({ ...received('ann', PLANTED, { id: PLANTED }), ...change });
const data = (change: object) => {
  const event = received('ann', PLANTED) as { data: object };
  return { ...event, data: { ...event.data, ...change } };
};

const WRONG: [what: string, line: Line, field: string][] = [
  ['malformed JSON', `{"text":"${PLANTED}"`, ''],
  ['an unknown type', bad({ type: `lethe.${PLANTED}` }), '/type'],
  ['an unknown specversion', bad({ specversion: '2.0' }), '/specversion'],
  ['a missing field', bad({ source: undefined }), '/source'],
  ['a number for a string', bad({ id: 7 }), '/id'],
  ['an empty id', bad({ id: '' }), '/id'],
  ['a time without a zone', bad({ time: '2025-01-01T00:00:00' }), '/time'],
  ['a day that no month has', bad({ time: '2026-02-30T12:00:00Z' }), '/time'],
  ['an hour that no day has', bad({ time: '2025-03-01T24:00:00Z' }), '/time'],
  ['a number that a double does not hold', '{"id": 17841405822304915}', ''],
  ['a time before 1970', bad({ time: '1969-12-31T23:59:59Z' }), '/time'],
  [
    'a time more than 5 minutes ahead',
    bad({ time: new Date(Date.now() + 310_000).toISOString() }),
    '/time',
  ],
  ['no data', bad({ data: null }), '/data'],
  ['a lone surrogate', data({ content: { type: 'text', text: '\ud800' } }), '/data/content/text'],
  ['a NUL', data({ content: { type: 'text', text: 'a\0b' } }), '/data/content/text'],
  [
    'a text that is too long',
    data({ content: { type: 'text', text: 'x'.repeat(100_001) } }),
    '/data/content/text',
  ],
  ['text content without text', data({ content: { type: 'text' } }), '/data/content/text'],
  [
    'a reserved channel',
    data({ author: { type: 'user', identity: { channel: 'lethe:agent', externalId: 'x' } } }),
    '/data/author/identity/channel',
  ],
  [
    'a group without a name',
    data({ conversation: { type: 'sdkGroup' } }),
    '/data/conversation/externalId',
  ],
  ['a line of more than a megabyte', `"${'x'.repeat(1_100_000)}"`, ''],
  ['binary data', Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x81]), ''],
  ['a bare number', '42', '/'],
];

describe('lethe ingest', () => {
  it.each(WRONG)(
    'names file, line and field of %s, and takes the rest in',
    async (_, line, field) => {
      const { store, summary, problems, report } = await ingest(lines(good('1'), line, good('2')));
      expect(summary).toMatchObject({ accepted: 2, rejected: 1 });
      expect(problems).toEqual([expect.objectContaining({ line: 2, field })]);
      expect(problems[0]!.expected.length).toBeGreaterThan(5);
      expect(JSON.parse(readFileSync(report, 'utf8'))).toEqual(problems[0]);
      expect(JSON.stringify(problems)).not.toContain(PLANTED);
      expect(await textsOf(store, await groupOf(store))).toEqual(['good 1', 'good 2']);
    },
  );

  it('takes a line of 100 MB as one bad line, in bounded memory', async () => {
    const content = Buffer.concat([
      lines(good('1')),
      Buffer.alloc(100 * 1_048_576, 0x78),
      lines('', good('2')),
    ]);
    const before = process.memoryUsage().rss;
    const { summary } = await ingest(content);
    expect(summary).toMatchObject({ accepted: 2, rejected: 1 });
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1_048_576);
  });

  it('says of an empty file, a missing file and a folder what they are', async () => {
    const { problems } = await ingest(Buffer.alloc(0));
    expect(problems[0]!.expected).toContain('empty');
    const store = await openTestStore();
    const found: Problem[] = [];
    const report = join(store.folder, 'report.jsonl');
    const onProblem = (problem: Problem) => void found.push(problem);
    const options = { app: store.app.id, wait: false, report, onProblem };
    await ingestFiles(store, [join(store.folder, 'nothing'), store.folder], options);
    expect(found.map((one) => one.expected)).toEqual([
      expect.stringContaining('there is none of this name'),
      expect.stringContaining('this is a folder'),
    ]);
  });

  it('takes gzip in, and of a gzip that is cut off everything before the cut', async () => {
    const whole = lines(...Array.from({ length: 400 }, (_, i) => good(`${i}`)));
    const zipped = gzipSync(whole);
    expect((await ingest(zipped)).summary).toMatchObject({ accepted: 400, rejected: 0 });
    const { summary, problems } = await ingest(zipped.subarray(0, zipped.length - 20));
    expect(summary.rejected).toBe(1);
    expect(problems[0]!.expected).toContain('gzip');
    const garbage = Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(200, 7)]);
    expect((await ingest(garbage)).problems[0]!.expected).toContain('gzip');
  });

  it('takes a leap second in, and text that only looks like an escape', async () => {
    const escaped = '\\u0000 and \\udb01';
    const leap = received('ann', escaped, { id: '1', time: '2016-12-31T23:59:60Z' }) as {
      data: { content: object };
    };
    Object.assign(leap.data.content, { name: escaped });
    const { store, summary } = await ingest(lines(leap));
    expect(summary).toMatchObject({ accepted: 1, rejected: 0 });
    const [message] = await messagesOf(store, await groupOf(store));
    expect(message).toMatchObject({
      received: '2016-12-31T23:59:59.000Z',
      content: { text: escaped, name: escaped },
    });
  });

  it('takes arrays of events on a line, and edits that come in the same batch as their message', async () => {
    const batch = [received('ann', 'first', { id: 'm' }), edited('ann', 'm', 'second')];
    const { store, summary } = await ingest(lines(batch));
    expect(summary).toMatchObject({ accepted: 2, rejected: 0 });
    expect(await textsOf(store, await groupOf(store))).toEqual(['second']);
  });

  it('asks for what comes before its message once more, when all else is in', async () => {
    const others = Array.from({ length: 600 }, (_, i) => good(`${i}`));
    const early = [edited('ann', 'm', 'second', { time: new Date().toISOString() })];
    const { store, summary } = await ingest(
      lines(early, ...others, received('ann', 'first', { id: 'm' })),
    );
    expect(summary).toMatchObject({ accepted: 602, rejected: 0 });
    expect(await textsOf(store, await groupOf(store))).toContain('second');
  });

  it('lists which event of a line it was, and what POST /events would have answered', async () => {
    const { summary, report } = await ingest(lines([good('1'), edited('ann', 'nothing', 'x')]));
    expect(summary).toMatchObject({ accepted: 1, rejected: 1 });
    expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({
      line: 1,
      index: 1,
      code: 'message_unknown',
      retryable: true,
    });
  });

  it('waits for an engine that stalls in the middle, says so, and takes everything in', async () => {
    const store = await openTestStore();
    const args = ['ingest', '-', '--app', 'demo', '--no-wait'];
    const run = startLethe(store.folder, args);
    const send = (from: number) => {
      const some = Array.from({ length: 500 }, (_, i) => good(`${from + i}`));
      run.child.stdin!.write(lines(...some));
    };
    send(0);
    const { log } = store.backends.ingest();
    const taken = async () => (await log.endOffsets()).reduce((sum, end) => sum + end, 0);
    await vi.waitFor(async () => expect(await taken()).toBeGreaterThan(500), 20_000);
    const { log: engine } = store.configuration;
    const other = new DatabaseSync((engine as { file: string }).file);
    other.exec('BEGIN IMMEDIATE');
    send(500);
    run.child.stdin!.end();
    expect(await run.warned('trying again')).toContain('is locked by another process');
    other.exec('ROLLBACK');
    other.close();
    const ended = await run.ended;
    expect(ended).toMatchObject({ code: 0, out: expect.stringContaining('1000 accepted') });
  });
});
