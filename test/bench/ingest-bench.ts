/**
 * Where the time of ingest goes, and what sealing costs: the same lines through the same path with
 * and without sealing, alternating, medians of five.
 */
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import { projectRecords } from '../../libs/projection/project.ts';
import { openIngest } from '../../services/ingest/ingest.ts';
import type { IngestItem } from '../../services/ingest/plan/ingest-item.ts';
import { chatLines, newBenchStore } from './bench-store.ts';
import { clearSeal } from './clear-codec.ts';
import { median } from './statistics.ts';

const LINES = 12_000;
const BATCH = 500;
const ROUNDS = 5;

interface Times {
  parse: number;
  validate: number;
  accept: number;
  append: number;
  seal: number;
  project: number;
}

async function runOnce(lines: readonly string[], isSealed: boolean): Promise<Times> {
  const store = await newBenchStore();
  const times: Times = { parse: 0, validate: 0, accept: 0, append: 0, seal: 0, project: 0 };
  const powers = store.backends.ingest();
  const seal = isSealed ? powers.sealer.seal : clearSeal;
  const ingest = await openIngest({
    ...powers,
    sealer: {
      ...powers.sealer,
      seal: (...given) => timedSync(times, 'seal', () => seal(...given)),
    },
    journal: {
      commit: (...given) => timed(times, 'append', () => powers.journal.commit(...given)),
    },
  });
  for (let at = 0; at < lines.length; at += BATCH) {
    const part = lines.slice(at, at + BATCH);
    const parsed = timedSync(times, 'parse', () => part.map((line) => JSON.parse(line)));
    const items = timedSync(times, 'validate', () => parsed.map(toItem));
    await timed(times, 'accept', () => ingest.accept(store.app.id, items));
  }
  await timed(times, 'project', () => project(store));
  await ingest.close();
  await store.remove();
  return times;
}

function toItem(event: unknown): IngestItem {
  const read = readCloudEvent(event, Date.now());
  if ('problem' in read) throw new Error(read.problem.expected);
  return { kind: 'delivery', delivery: read.value };
}

async function project({ backends }: Awaited<ReturnType<typeof newBenchStore>>): Promise<void> {
  const { log, views } = backends.projector();
  const generation = await views.generation();
  for (let partition = 0; partition < log.partitions; partition += 1) {
    let next = 0;
    for (;;) {
      const records = await log.read(partition, next, 4_000);
      if (records.length === 0) break;
      await projectRecords({ log, views }, generation, records);
      next = records.at(-1)!.offset + 1;
    }
  }
}

function timedSync<Result>(times: Times, phase: keyof Times, work: () => Result): Result {
  const started = performance.now();
  const result = work();
  times[phase] += performance.now() - started;
  return result;
}

async function timed<Result>(
  times: Times,
  phase: keyof Times,
  work: () => Promise<Result>,
): Promise<Result> {
  const started = performance.now();
  const result = await work();
  times[phase] += performance.now() - started;
  return result;
}

/** Shares of the sealed path, and its speed over the clear one. */
export async function benchIngest() {
  const lines = [...chatLines(LINES, { rooms: 12, people: 900 })];
  const ratios: number[] = [];
  const sealed: Times[] = [];
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    const clear = await runOnce(lines, false);
    const own = await runOnce(lines, true);
    if (round === 0) continue;
    ratios.push(total(clear) / total(own));
    sealed.push(own);
  }
  const phase = (name: keyof Times) => median(sealed.map((times) => times[name]));
  const resolve = phase('accept') - phase('append') - phase('seal');
  const perEvent = (ms: number) => Math.round((ms / LINES) * 10_000) / 10;
  return {
    sealedOfClear: median(ratios),
    microsecondsPerEvent: {
      parse: perEvent(phase('parse')),
      validate: perEvent(phase('validate')),
      resolveAndLedger: perEvent(resolve),
      seal: perEvent(phase('seal')),
      append: perEvent(phase('append')),
      project: perEvent(phase('project')),
    },
  };
}

function total(times: Times): number {
  return times.parse + times.validate + times.accept + times.project;
}
