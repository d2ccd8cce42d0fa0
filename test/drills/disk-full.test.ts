import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, type TestContext } from 'vitest';
import { chatLines } from '../bench/bench-store.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { environmentOf, lethe, startScript } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-store.ts';

const PROGRAM = join(import.meta.dirname, '../../services/cli/main.ts');

/** Mounts a small disk; undefined where this user may not. */
function mountSmallDisk(folder: string, size: string): boolean {
  mkdirSync(folder, { recursive: true });
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  if (mounted.status !== 0) return false;
  onTestFinished(() => void spawnSync('umount', ['-l', folder]));
  return true;
}

function assertSmallDisk(context: TestContext, folder: string, size: string): void {
  if (mountSmallDisk(folder, size)) return;
  if (process.env.CI !== undefined) throw new Error('CI must be able to mount a tmpfs');
  context.skip('mounting a small disk needs root');
}

describe('a full disk', () => {
  it('ends no server: reads go on, writes are told, and all goes on when there is room again', async (context) => {
    const folder = temporaryFolder();
    const data = join(folder, 'data');
    assertSmallDisk(context, data, '12m');
    const made = await lethe(folder, ['apps', 'create', 'demo']);
    const { key } = (await lethe(folder, ['keys', 'create', '--app', 'demo', '--scope', 'app']))
      .json;
    const serving = startScript(PROGRAM, ['serve'], environmentOf(folder));
    const [address] = /http:\/\/\S+:\d+/.exec(await serving.printed('listening'))!;
    const authorization = `Basic ${btoa(`${key.id}:${key.secret}`)}`;
    // biome-ignore lint/suspicious/noExplicitAny: answers are compared, not computed with
    const jsonOf = async (path: string): Promise<any> => (await call(path)).json();
    const call = (path: string, method = 'GET', body?: object) =>
      fetch(`${address}/v2/apps/${made.json.app.id}${path}`, {
        method,
        headers: { authorization, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      });
    const says = (n: number) =>
      received('ann', `text ${n}`, { id: `m${n}`, conversation: PERSONAL });
    expect((await call('/events', 'POST', [says(1), says(2)])).status).toBe(200);
    const shown = async () => {
      const { conversations } = await jsonOf('/conversations');
      const { messages } = await jsonOf(`/conversations/${conversations[0].id}/messages`);
      return messages.map((one: { content: { text: string } }) => one.content.text);
    };
    await expect.poll(shown).toEqual(['text 1', 'text 2']);
    const filler = join(data, 'filler');
    spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4096']);
    const statuses = new Set<number>();
    for (let second = 0; second < 8; second += 1) {
      await sleep(1_000);
      expect(await shown()).toEqual(['text 1', 'text 2']);
      statuses.add((await call('/events', 'POST', says(3))).status);
    }
    expect([...statuses]).toEqual([507]);
    const { users } = await jsonOf('/users');
    expect((await call(`/users/${users[0].id}`, 'DELETE')).status).toBe(507);
    expect(serving.child.exitCode).toBeNull();
    rmSync(filler);
    expect((await call('/events', 'POST', says(3))).status).toBe(200);
    await expect.poll(shown).toEqual(['text 1', 'text 2', 'text 3']);
    expect((await call(`/users/${users[0].id}`, 'DELETE')).status).toBe(200);
    serving.child.kill('SIGTERM');
    expect(await serving.ended).toMatchObject({ code: 0 });
  });

  it('is said clearly, and the store is intact and goes on when there is room again', async (context) => {
    const folder = temporaryFolder();
    const data = join(folder, 'data');
    assertSmallDisk(context, data, '12m');
    await lethe(folder, ['apps', 'create', 'demo']);
    const file = join(folder, 'lines.jsonl');
    const count = 30_000;
    writeFileSync(file, [...chatLines(count, { rooms: 5, people: 50 })].join('\n'));
    const full = await lethe(folder, ['ingest', file, '--app', 'demo', '--no-wait']);
    expect(full.code).toBe(1);
    expect(full.err).toContain('no room to write');
    expect(full.err).not.toContain('    at ');
    const remount = spawnSync('mount', ['-o', 'remount,size=400m', data]);
    expect(remount.status).toBe(0);
    const rest = await lethe(folder, ['ingest', file, '--app', 'demo']);
    expect(rest.code).toBe(0);
    expect(rest.json.accepted + rest.json.duplicate).toBe(count);
    expect(rest.json.duplicate).toBeGreaterThan(0);
    const doctor = await lethe(folder, ['doctor']);
    expect(doctor.json).toMatchObject({ passed: true });
    recordFigures('full disk', { said: full.err.trim().split('\n').at(-1), afterwards: rest.json });
  });
});
