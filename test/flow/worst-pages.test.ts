import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { edited, GROUP, reacted, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { groupOf } from '../support/reading.ts';
import { serveAsInReadme } from '../support/serve-as-in-readme.ts';
import { openTestStore } from '../support/temporary-store.ts';

// The longest text and the longest JSON beside it that are taken in, of letters of three bytes.
const TEXT = '€'.repeat(100_000);
const REST = '文'.repeat(99_000);
const MESSAGES = 100;
const REACTIONS = 30;
const AT_ONCE = 50;
const RSS_MB_MAX = 600;

const rssMb = (pid: number) => {
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!;
  return Math.round(Number(kilobytes) / 1_024);
};

it('S55 pages of the longest messages, read by many at once, do not end the process of the README', async () => {
  const store = await openTestStore();
  const { accessKeys, clock } = store.backends.administration();
  const key = await accessKeys.create({ app: store.app.id, scope: 'app', nowMs: clock.nowMs() });
  const content = { type: 'carousel', text: TEXT, items: [{ title: REST }] };
  const longest = (name: string, id: string) => {
    const event = received(name, '', { id, conversation: GROUP }) as { data: object };
    return { ...event, data: { ...event.data, content } };
  };
  for (let n = 0; n < MESSAGES; n += 1) {
    const [outcome] = await store.accept(longest(`person-${n % 10}`, `m-${n}`));
    expect(outcome).toMatchObject({ status: 'accepted' });
    await store.accept(
      edited(`person-${n % 10}`, `m-${n}`, TEXT, { id: `e-${n}` }),
      ...Array.from({ length: REACTIONS }, (_, r) =>
        reacted(`person-${r % 10}`, `m-${n}`, `${r} ${'é'.repeat(58)}`, { id: `r-${n}-${r}` }),
      ),
    );
  }
  await store.project();
  const group = await groupOf(store);
  const { serving, address } = await serveAsInReadme(store);
  const headers = { authorization: `Basic ${btoa(`${key.id}:${key.secret}`)}` };
  const page = `${address}/v2/apps/${store.app.id}/conversations/${group}/messages`;
  const read = async (query = '') => {
    const answer = await fetch(page + query, { headers });
    return { status: answer.status, text: await answer.text() };
  };
  const answers = await Promise.all(Array.from({ length: AT_ONCE }, () => read()));
  expect(serving.child.exitCode).toBeNull();
  const statuses = answers.map(({ status }) => status);
  expect(statuses).toContain(200);
  for (const status of statuses) expect([200, 503]).toContain(status);
  // All of it, page by page: each is shorter than was asked for, and says that there is more.
  const seen = new Set<string>();
  let pages = 0;
  for (let query = ''; ; pages += 1) {
    const { status, text } = await read(query);
    expect(status).toBe(200);
    const { messages, meta } = JSON.parse(text);
    for (const message of messages) {
      expect(message.content.text === TEXT).toBe(true);
      expect(message.reactions.length).toBe(REACTIONS);
      seen.add(message.id);
    }
    if (!meta.hasMore) break;
    query = `?page[before]=${meta.beforeCursor}`;
  }
  expect(seen.size).toBe(MESSAGES);
  expect(pages).toBeGreaterThan(1);
  const mb = rssMb(serving.child.pid!);
  recordFigures('worst pages', { rssMb: mb, statuses });
  expect(mb).toBeLessThan(RSS_MB_MAX);
  expect((await fetch(`${address}/healthz`)).status).toBe(200);
  serving.child.kill('SIGTERM');
  expect(await serving.ended).toMatchObject({ code: 0 });
}, 180_000);
