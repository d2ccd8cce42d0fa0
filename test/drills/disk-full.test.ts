import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { chatLines } from '../bench/bench-store.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-store.ts';

/** Mounts a small disk; undefined where this user may not. */
function mountSmallDisk(folder: string, size: string): boolean {
  mkdirSync(folder, { recursive: true });
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  if (mounted.status !== 0) return false;
  onTestFinished(() => void spawnSync('umount', ['-l', folder]));
  return true;
}

describe('a full disk', () => {
  it('is said clearly, and the store is intact and goes on when there is room again', async (context) => {
    const folder = temporaryFolder();
    const data = join(folder, 'data');
    if (!mountSmallDisk(data, '12m')) {
      if (process.env.CI !== undefined) throw new Error('CI must be able to mount a tmpfs');
      context.skip('mounting a small disk needs root');
    }
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
