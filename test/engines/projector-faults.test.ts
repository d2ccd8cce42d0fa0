import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { createWakeSignal } from '../../libs/event-log/wake-signal.ts';
import { runProjector } from '../../libs/projection/project.ts';
import { lastPositions, waitForViews } from '../../libs/projection/views-behind.ts';
import { openProjectorBackends } from '../../libs/wiring/open-projector.ts';
import { GROUP, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { startLethe } from '../support/processes.ts';
import { groupOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

const ROOMS = 6;
const STORM_STEPS = 30;
const STEP_MS = 2_000;
const MEMBERS_MAX = 4;
/** The session of a member of the group is 15 s. */
const PAUSE_MS = 25_000;
const VISIBLE_MS_MAX = 60_000;
const START_MS = Date.parse('2025-03-01T12:00:00Z');

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('projectors', figures));

/** Takes in numbered messages of several rooms until it is stopped; what each room was told. */
function startLoad(store: TestStore) {
  const rooms = Array.from({ length: ROOMS }, (_, i) => `room-${i}`);
  const told = new Map<string, string[]>(rooms.map((room) => [room, []]));
  let isOver = false;
  const run = async () => {
    for (let n = 1; !isOver; n += 1) {
      const time = new Date(START_MS + n * 1_000).toISOString();
      const events = rooms.map((room) => {
        const conversation = { ...GROUP, externalId: room };
        return received(`person of ${room}`, `${room} ${n}`, { time, conversation });
      });
      const outcomes = await store.accept(...events);
      expect(outcomes.map(({ status }) => status)).toEqual(rooms.map(() => 'accepted'));
      for (const room of rooms) told.get(room)!.push(`${room} ${n}`);
      await sleep(20);
    }
  };
  const running = run();
  return {
    told,
    async stop() {
      isOver = true;
      await running;
    },
  };
}

async function expectWhole(store: TestStore, told: ReadonlyMap<string, string[]>) {
  for (const [room, texts] of told) {
    expect(await textsOf(store, await groupOf(store, room))).toEqual(texts);
  }
}

async function untilVisible({ backends }: TestStore): Promise<number> {
  const from = performance.now();
  const { log, views } = backends.projector();
  expect(await waitForViews({ log, views }, await lastPositions(log), VISIBLE_MS_MAX)).toBe(true);
  return Math.round(performance.now() - from);
}

/** A projector of its own, in this process. */
async function join({ configuration }: TestStore) {
  const powers = await openProjectorBackends(configuration, createWakeSignal());
  const stop = new AbortController();
  const running = runProjector(powers, stop.signal);
  return async () => {
    stop.abort();
    await running;
    await powers.close();
  };
}

describe('projectors of one group, under load', () => {
  it('bring everything into the views once while members join and leave every 2 s for 60 s', async () => {
    const store = await openTestStore();
    const load = startLoad(store);
    const members = [await join(store)];
    let [joined, left] = [1, 0];
    for (let step = 0; step < STORM_STEPS; step += 1) {
      await sleep(STEP_MS);
      const isJoin = members.length === 1 || (members.length < MEMBERS_MAX && step % 2 === 0);
      if (isJoin) {
        members.push(await join(store));
        joined += 1;
      } else {
        await members.shift()!();
        left += 1;
      }
    }
    await load.stop();
    const visibleMs = await untilVisible(store);
    for (const leave of members) await leave();
    await expectWhole(store, load.told);
    const events = [...load.told.values()].reduce((sum, texts) => sum + texts.length, 0);
    figures['rebalance storm'] = { joined, left, events, visibleMs };
  });

  it('go on without one that is paused for longer than its session, and it does no harm when it wakes', async () => {
    const store = await openTestStore();
    const both = [0, 1].map(() => startLethe(store.folder, ['serve', 'projector', '--json']));
    await Promise.all(both.map((one) => one.printed('\n')));
    const load = startLoad(store);
    await sleep(6_000);
    const [paused] = both;
    paused!.child.kill('SIGSTOP');
    await sleep(PAUSE_MS);
    const behindMs = await untilVisible(store);
    paused!.child.kill('SIGCONT');
    await sleep(5_000);
    await load.stop();
    const visibleMs = await untilVisible(store);
    await expectWhole(store, load.told);
    const events = [...load.told.values()].reduce((sum, texts) => sum + texts.length, 0);
    figures['paused projector'] = { pausedMs: PAUSE_MS, behindMs, visibleMs, events };
    for (const one of both) one.child.kill('SIGTERM');
    for (const one of both) expect((await one.ended).code).toBe(0);
  });
});
