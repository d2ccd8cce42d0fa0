/**
 * From the door to the views in Cassandra: the same lines with and without sealing, alternating, by
 * one projector that follows the log meanwhile; and where the time of ingest goes.
 */

import { runProjector } from '../../../libs/projection/project.ts';
import { lastPositions, waitForViews } from '../../../libs/projection/views-behind.ts';
import { openIngest } from '../../../services/ingest/ingest.ts';
import { clearSeal } from '../clear-codec.ts';
import { median } from '../statistics.ts';
import { chatItems, type EngineStore, newEngineStore } from './engine-store.ts';

const LINES = 2_000;
const BATCH = 500;
const SHAPE = { rooms: 4, people: 300 };
const ROUNDS = 5;
const VISIBLE_MS_MAX = 120_000;

interface Times {
  all: number;
  commit: number;
  accept: number;
}

async function runOnce(store: EngineStore, round: string, isSealed: boolean): Promise<Times> {
  const times: Times = { all: 0, commit: 0, accept: 0 };
  const powers = store.backends.ingest();
  const ingest = await openIngest({
    ...powers,
    sealer: isSealed ? powers.sealer : { ...powers.sealer, seal: clearSeal },
    journal: {
      async commit(...given) {
        const from = performance.now();
        const done = await powers.journal.commit(...given);
        times.commit += performance.now() - from;
        return done;
      },
    },
  });
  const items = chatItems(round, LINES, SHAPE);
  const started = performance.now();
  for (let at = 0; at < items.length; at += BATCH) {
    const outcomes = await ingest.accept(store.app.id, items.slice(at, at + BATCH));
    const failed = outcomes.find(({ status }) => status !== 'accepted');
    if (failed !== undefined) throw new Error(`a line was ${failed.status}`);
  }
  times.accept = performance.now() - started;
  const { log, views } = store.backends.projector();
  if (!(await waitForViews({ log, views }, await lastPositions(log), VISIBLE_MS_MAX))) {
    throw new Error('the views did not catch up');
  }
  times.all = performance.now() - started;
  await ingest.close();
  return times;
}

/** The sealed path's speed over the clear one's, its rate, and its phases. */
export async function benchVisible(servers: Readonly<Record<string, string>>) {
  const store = await newEngineStore(servers);
  const stop = new AbortController();
  const projecting = runProjector(store.backends.projector(), stop.signal);
  const ratios: number[] = [];
  const sealed: Times[] = [];
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    const clear = await runOnce(store, `clear ${round}`, false);
    const own = await runOnce(store, `sealed ${round}`, true);
    // The first round makes the people.
    if (round === 0) continue;
    ratios.push(clear.all / own.all);
    sealed.push(own);
  }
  stop.abort();
  await projecting;
  await store.remove();
  const phase = (name: keyof Times) => median(sealed.map((times) => times[name]));
  return {
    sealedOfClear: median(ratios),
    eventsPerSecond: Math.round((LINES / phase('all')) * 1_000),
    shareOfAccepting: phase('accept') / phase('all'),
    shareOfCommitting: phase('commit') / phase('all'),
  };
}
