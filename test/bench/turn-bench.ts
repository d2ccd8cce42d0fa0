/**
 * What a turn costs: a dirty bucket in an app of ten times as many people in buckets of equal size;
 * and what is left of live ingest while another process turns the epoch again and again.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { idToBucket, type SubjectId } from '../../libs/base/ids.ts';
import { randomId } from '../../libs/base/random.ts';
import { readCloudEvent } from '../../libs/conversation/cloud-event.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import type { App } from '../../libs/vault/keys/app-registry.ts';
import { openIngest } from '../../services/ingest/ingest.ts';
import { createApp } from '../../services/operations/create-app.ts';
import { environmentOf, startProcess } from '../support/processes.ts';
import { addPeople } from './bench-people.ts';
import { chatLines, newBenchStore } from './bench-store.ts';
import { median } from './statistics.ts';

const BUCKET_PEOPLE = 100;
const SHAPES = { small: 16, large: 160 };
const DIRTY = { few: 2, many: 12 };
const ROUNDS = 5;
const WINDOW_MS = 4_000;
const BATCH = 500;

type Store = Awaited<ReturnType<typeof newBenchStore>>;

/** A store whose only large app has this many buckets, and people by bucket. */
async function openShape(buckets: number) {
  const store = await newBenchStore();
  const administration = store.backends.administration();
  const app = await createApp(administration, { name: 'shape', buckets });
  const people = await addPeople({ backends: store.backends, app }, buckets * BUCKET_PEOPLE);
  const byBucket = new Map<number, SubjectId[]>();
  for (const id of people) {
    const bucket = idToBucket(id) % buckets;
    byBucket.set(bucket, [...(byBucket.get(bucket) ?? []), id]);
  }
  return { store, app, byBucket };
}

/** Milliseconds of a turn after so many buckets lost somebody. */
async function timeTurn(
  { store, app, byBucket }: { store: Store; app: App; byBucket: Map<number, SubjectId[]> },
  dirty: number,
): Promise<number> {
  const { keyringShred, randomness } = store.backends.privacy();
  const full = [...byBucket.values()].sort((a, b) => b.length - a.length).slice(0, dirty);
  const refs = full.map((ids) => ({ app: app.id, kind: ringKinds.owner, id: ids.pop()! }));
  await keyringShred.shred(refs, randomId(randomness));
  const began = performance.now();
  const turn = await store.backends.epoch().turn({ nowMs: () => Date.now() });
  const ms = performance.now() - began;
  if (turn.buckets !== dirty) throw new Error(`${turn.buckets} buckets, not ${dirty}`);
  return ms;
}

async function costOfBuckets() {
  const perBucket: Record<string, number> = {};
  const fixed: Record<string, number> = {};
  const shapes = {
    small: await openShape(SHAPES.small),
    large: await openShape(SHAPES.large),
  };
  const times: Record<string, number[]> = {};
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, shape] of Object.entries(shapes)) {
      for (const [how, dirty] of Object.entries(DIRTY)) {
        const ms = await timeTurn(shape, dirty);
        if (round > 0) times[name + how] = [...(times[name + how] ?? []), ms];
      }
    }
  }
  for (const [name, { store }] of Object.entries(shapes)) {
    const [few, many] = [median(times[`${name}few`]!), median(times[`${name}many`]!)];
    perBucket[name] = (many - few) / (DIRTY.many - DIRTY.few);
    fixed[name] = few - perBucket[name]! * DIRTY.few;
    await store.remove();
  }
  return {
    people: Object.values(SHAPES).map((buckets) => buckets * BUCKET_PEOPLE),
    millisecondsPerDirtyBucket: perBucket,
    millisecondsBeside: fixed,
    ratio: perBucket.large! / perBucket.small!,
  };
}

/** Events a second that ingest takes in, with and without turns beside it, alternating. */
async function ingestDuringTurns() {
  const store = await newBenchStore();
  const people = await addPeople(store, 2_000);
  const file = join(store.folder, 'people.json');
  writeFileSync(file, JSON.stringify(people));
  const script = join(import.meta.dirname, '../support/turn-loop.ts');
  const turns = startProcess(script, [file], environmentOf(store.folder));
  await turns.printed('ready');
  const ingest = await openIngest(store.backends.ingest());
  const lines = chatLines(10_000_000, { rooms: 50, people: 900 });
  const window = async () => {
    const began = performance.now();
    let events = 0;
    while (performance.now() - began < WINDOW_MS) {
      const items = Array.from({ length: BATCH }, () => {
        const read = readCloudEvent(JSON.parse(lines.next().value as string), Date.now());
        if ('problem' in read) throw new Error(read.problem.expected);
        return { kind: 'delivery' as const, delivery: read.value };
      });
      await ingest.accept(store.app.id, items);
      events += BATCH;
    }
    return events / (performance.now() - began);
  };
  const ratios: number[] = [];
  await window();
  for (let round = 0; round < ROUNDS; round += 1) {
    const alone = await window();
    turns.child.kill('SIGUSR1');
    await sleep(200);
    const beside = await window();
    turns.child.kill('SIGUSR1');
    await sleep(2_000);
    ratios.push(beside / alone);
  }
  turns.child.kill('SIGTERM');
  const ended = await turns.ended;
  await ingest.close();
  await store.remove();
  return { ofAlone: median(ratios), ratios, turns: Number(ended.out.trim().split('\n').at(-1)) };
}

/** The figures. */
export async function benchTurns() {
  return { buckets: await costOfBuckets(), ingestBesideTurns: await ingestDuringTurns() };
}
