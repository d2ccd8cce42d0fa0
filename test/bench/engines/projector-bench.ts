/**
 * One projector and two over the partitions of one topic: the same sealed records are appended once
 * more each round (upserts can be repeated) and followed into the views. Where the machine's cores
 * are shared by everything, the CPU time an event is what can be compared.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogRecord } from '../../../libs/event-log/event-log.ts';
import { projectorGroup, waitForViews } from '../../../libs/projection/views-behind.ts';
import { openIngest } from '../../../services/ingest/ingest.ts';
import { environmentOf, type Running, startProcess } from '../../support/processes.ts';
import { recordsOf } from '../../support/reading.ts';
import { PROGRAM } from '../bench-server.ts';
import { median, percentile } from '../statistics.ts';
import { chatItems, type EngineStore, newEngineStore } from './engine-store.ts';

const LINES = 3_000;
const BATCH = 500;
const SHAPE = { rooms: 48, people: 300 };
const ROUNDS = 5;
const WARM_UPS = 2;
// Long enough that what a process costs by itself hardly counts.
const REPEATS = 5;
const TICKS_PER_SECOND = 100;
const SETTLE_MS = 4_000;
const VISIBLE_MS_MAX = 120_000;
const LOAD_SECONDS = 20;
const LOAD_STEP_MS = 100;

interface Round {
  readonly eventsPerSecond: number;
  readonly cpuMicrosecondsPerEvent: number;
}

/** User and system time of a process, in seconds (proc(5), fields 14 and 15 of stat). */
function cpuSecondsOf({ child }: Running): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function startProjectors(
  { folder, variables }: EngineStore,
  count: number,
): Promise<Running[]> {
  const started = Array.from({ length: count }, () => {
    const env = environmentOf(folder, variables);
    return startProcess(PROGRAM, ['serve', 'projector', '--json'], env);
  });
  await Promise.all(started.map((one) => one.printed('\n')));
  // Every member has its partitions.
  await sleep(SETTLE_MS);
  return started;
}

async function stopAll(running: readonly Running[]): Promise<void> {
  for (const { child } of running) child.kill('SIGTERM');
  await Promise.all(running.map((one) => one.ended));
}

async function project(
  store: EngineStore,
  records: readonly LogRecord[],
  running: readonly Running[],
): Promise<Round> {
  const { log, views } = store.backends.projector();
  const cpuBefore = running.map(cpuSecondsOf);
  const started = performance.now();
  const positions = await log.append(records);
  if (!(await waitForViews({ log, views }, positions, VISIBLE_MS_MAX))) {
    throw new Error('the views did not catch up');
  }
  const seconds = (performance.now() - started) / 1_000;
  const cpu = running.reduce((sum, one, i) => sum + cpuSecondsOf(one) - cpuBefore[i]!, 0);
  const cpuMicrosecondsPerEvent = (cpu / records.length) * 1_000_000;
  return { eventsPerSecond: records.length / seconds, cpuMicrosecondsPerEvent };
}

/** Time from a delivery to its view, at a rate: p50 and p99 in milliseconds. */
async function visibleAfter(store: EngineStore, perSecond: number) {
  const { log, views } = store.backends.projector();
  const ingest = await openIngest(store.backends.ingest());
  const items = chatItems('load', perSecond * LOAD_SECONDS, SHAPE);
  const size = Math.round((perSecond * LOAD_STEP_MS) / 1_000);
  const times: number[] = [];
  const waiting: Promise<void>[] = [];
  for (let at = 0; at < items.length; at += size) {
    const next = sleep(LOAD_STEP_MS);
    const deliver = async () => {
      const from = performance.now();
      const outcomes = await ingest.accept(store.app.id, items.slice(at, at + size));
      const positions = outcomes.flatMap((one) => (one.status === 'accepted' ? one.positions : []));
      if (!(await waitForViews({ log, views }, positions, VISIBLE_MS_MAX))) throw new Error('late');
      times.push(performance.now() - from);
    };
    waiting.push(deliver());
    await next;
  }
  await Promise.all(waiting);
  await ingest.close();
  return { p50Ms: Math.round(percentile(times, 50)), p99Ms: Math.round(percentile(times, 99)) };
}

/** Rates and CPU time of one and two projectors; the wait for visibility at a steady rate. */
export async function benchProjectors(servers: Readonly<Record<string, string>>) {
  const store = await newEngineStore(servers);
  const ingest = await openIngest(store.backends.ingest());
  const items = chatItems('first', LINES, SHAPE);
  const from = performance.now();
  for (let at = 0; at < items.length; at += BATCH) {
    await ingest.accept(store.app.id, items.slice(at, at + BATCH));
  }
  const acceptedPerSecond = (LINES / (performance.now() - from)) * 1_000;
  await ingest.close();
  const records: LogRecord[] = [];
  for await (const { key, value } of recordsOf(store)) records.push({ key, value });
  const { log, views } = store.backends.projector();
  const ends = await log.endOffsets();
  await log.saveCheckpoints(projectorGroup(await views.generation()), ends);
  const rounds: Record<1 | 2, Round[]> = { 1: [], 2: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const count of round % 2 === 0 ? ([1, 2] as const) : ([2, 1] as const)) {
      const running = await startProjectors(store, count);
      // Each of them is as warm as one alone.
      for (let i = 0; i < WARM_UPS * count; i += 1) await project(store, records, running);
      rounds[count].push(await project(store, Array(REPEATS).fill(records).flat(), running));
      await stopAll(running);
    }
  }
  const running = await startProjectors(store, 1);
  const half = Math.round(acceptedPerSecond / 2);
  const visible = await visibleAfter(store, half);
  await stopAll(running);
  await store.remove();
  const of = (count: 1 | 2, what: keyof Round) => median(rounds[count].map((one) => one[what]));
  return {
    partitions: log.partitions,
    eventsPerSecond: {
      one: Math.round(of(1, 'eventsPerSecond')),
      two: Math.round(of(2, 'eventsPerSecond')),
    },
    twoOfOne: of(2, 'eventsPerSecond') / of(1, 'eventsPerSecond'),
    cpuTwoOfOne: of(2, 'cpuMicrosecondsPerEvent') / of(1, 'cpuMicrosecondsPerEvent'),
    cpuMicrosecondsPerEvent: Math.round(of(1, 'cpuMicrosecondsPerEvent')),
    visibleAfterAtHalf: { deliveriesPerSecond: half, ...visible },
  };
}
