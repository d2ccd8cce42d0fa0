import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AppId } from '../../libs/base/ids.ts';
import { received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe, startLethe } from '../support/processes.ts';
import { groupOf, textsOf } from '../support/reading.ts';
import { openAt, type TestStore, temporaryFolder } from '../support/temporary-store.ts';

// Seeded, so that a failure can be repeated; the machine's speed adds the rest of the chance.
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

async function newStore(folder: string): Promise<AppId> {
  const made = await lethe(folder, ['apps', 'create', 'demo', '--buckets', '16']);
  expect(made.code).toBe(0);
  return made.json.app.id;
}

const ROOMS = 7;
const PEOPLE = 200;

function makeLines(count: number): object[] {
  return Array.from({ length: count }, (_, i) =>
    received(`person-${(i * 7) % PEOPLE}`, `line ${i}`, {
      id: `line-${i}`,
      displayName: `Name ${(i * 7) % PEOPLE}`,
      conversation: { type: 'sdkGroup', externalId: `room-${i % ROOMS}` },
    }),
  );
}

async function expectAllOnce(store: TestStore, count: number): Promise<void> {
  for (let room = 0; room < ROOMS; room += 1) {
    const expected = [];
    for (let i = room; i < count; i += ROOMS) expected.push(`line ${i}`);
    const texts = await textsOf(store, await groupOf(store, `room-${room}`));
    expect(texts).toEqual(expected);
  }
}

describe('kill -9', () => {
  it('of ingest and its projector, 12 times: every line is in the views once, in the file’s order', async () => {
    const random = createRandom(1);
    const folder = temporaryFolder();
    const appId = await newStore(folder);
    const count = 12_000;
    const file = join(folder, 'lines.jsonl');
    writeFileSync(
      file,
      makeLines(count)
        .map((line) => JSON.stringify(line))
        .join('\n'),
    );
    let kills = 0;
    const afterMs: number[] = [];
    for (let i = 0; i < 12; i += 1) {
      const run = startLethe(folder, ['ingest', file, '--app', 'demo', '--json']);
      const waitMs = Math.round(450 + random() * 1_900);
      await sleep(waitMs);
      run.child.kill('SIGKILL');
      if ((await run.ended).signal === 'SIGKILL') kills += 1;
      afterMs.push(waitMs);
    }
    const last = await lethe(folder, ['ingest', file, '--app', 'demo']);
    expect(last.code).toBe(0);
    expect(last.json.accepted + last.json.duplicate).toBe(count);
    expect(kills).toBeGreaterThan(0);
    const store = await openAt(folder, {}, appId);
    await expectAllOnce(store, count);
    const doctor = await lethe(folder, ['doctor']);
    expect(doctor.json).toMatchObject({ passed: true });
    recordFigures('kill -9 of ingest', { kills, afterMs, last: last.json });
  });

  it('of the server under load, 8 times: what was acknowledged is there once, nothing twice', async () => {
    const random = createRandom(2);
    const folder = temporaryFolder();
    const appId = await newStore(folder);
    const made = await lethe(folder, ['keys', 'create', '--app', 'demo']);
    const { id, secret } = made.json.key;
    const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
    const acknowledged = new Set<string>();
    let asked = 0;
    let kills = 0;
    for (let round = 0; round < 8; round += 1) {
      const server = startLethe(folder, ['serve', '--json']);
      const { listening } = JSON.parse((await server.printed('\n')).trim());
      const stopAtMs = performance.now() + 300 + random() * 900;
      const client = async () => {
        while (performance.now() < stopAtMs) {
          asked += 1;
          const text = `asked ${asked}`;
          const event = received('ann', text, { id: text });
          try {
            const answer = await fetch(`${listening}/v2/apps/${appId}/events`, {
              method: 'POST',
              headers: { authorization, 'content-type': 'application/json' },
              body: JSON.stringify(event),
            });
            const body = (await answer.json()) as { accepted: number };
            if (body.accepted === 1) acknowledged.add(text);
          } catch {
            // The server was killed under this request: it was not acknowledged.
          }
        }
      };
      const clients = Array.from({ length: 8 }, client);
      await sleep(Math.max(0, stopAtMs - performance.now() - 50 * random()));
      server.child.kill('SIGKILL');
      if ((await server.ended).signal === 'SIGKILL') kills += 1;
      await Promise.all(clients);
    }
    const store = await openAt(folder, {}, appId);
    await store.project();
    const texts = await textsOf(store, await groupOf(store));
    expect(new Set(texts).size).toBe(texts.length);
    for (const text of acknowledged) expect(texts).toContain(text);
    expect(acknowledged.size).toBeGreaterThan(100);
    const figures = { kills, asked, acknowledged: acknowledged.size, inViews: texts.length };
    recordFigures('kill -9 of the server', figures);
  });

  it('two servers on one data folder are safe: each sees what the other took in', async () => {
    const folder = temporaryFolder();
    const appId = await newStore(folder);
    const { id, secret } = (await lethe(folder, ['keys', 'create', '--app', 'demo'])).json.key;
    const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
    const servers = [0, 1].map(() => startLethe(folder, ['serve', '--json']));
    onTestFinished(() => {
      for (const server of servers) server.child.kill('SIGTERM');
    });
    const addresses: string[] = [];
    for (const server of servers) {
      addresses.push(JSON.parse((await server.printed('\n')).trim()).listening);
    }
    let accepted = 0;
    let duplicate = 0;
    const lines = makeLines(600);
    await Promise.all(
      addresses.map(async (address) => {
        for (let at = 0; at < lines.length; at += 20) {
          const answer = await fetch(`${address}/v2/apps/${appId}/events`, {
            method: 'POST',
            headers: { authorization, 'content-type': 'application/json' },
            body: JSON.stringify(lines.slice(at, at + 20)),
          });
          const body = (await answer.json()) as { accepted: number; duplicate: number };
          accepted += body.accepted;
          duplicate += body.duplicate;
        }
      }),
    );
    expect([accepted, duplicate]).toEqual([600, 600]);
    for (const server of servers) {
      server.child.kill('SIGTERM');
      expect((await server.ended).code).toBe(0);
    }
    const store = await openAt(folder, {}, appId);
    await expectAllOnce(store, 600);
  });
});
