/**
 * Kills one privacy operation at every gap between its durable writes, and at random moments; each
 * kill meets its own copy of the same store. After each the operation is finished by a new process'
 * means, and everybody else's content must be what it was.
 */
import { createHash } from 'node:crypto';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { AppId, ConversationId, MessageId, SubjectId } from '../../libs/base/ids.ts';
import { received } from './events.ts';
import { environmentOf, type Running, startScript } from './processes.ts';
import { groupOf, messagesOf } from './reading.ts';
import { openAt, type TestStore } from './temporary-store.ts';

/** What the operation is about. */
export interface Prey {
  readonly app: AppId;
  readonly subject: SubjectId;
  readonly group: ConversationId;
  readonly message: MessageId;
  readonly days: { readonly fromDay: number; readonly toDay: number };
}

export interface KillDrill {
  readonly operation: string;
  /** A closed store, of which each kill gets a copy. */
  readonly folder: string;
  readonly prey: Prey;
  readonly killsPerGap: number;
  readonly randomKills: number;
  /** How far ahead the store's clock is when it is recovered. */
  readonly aheadMs?: number;
  /** How long the dead process is to be left alone before another one goes on. */
  readonly silentMs?: number;
  /** How many processes are killed, and stores recovered, side by side. */
  readonly together?: number;
  /** Finishes what was begun, checks it, and gives what nobody may have lost. */
  recover(store: TestStore): Promise<void>;
}

/** How many people there are beside the prey. */
export const WITNESSES = 20;
const TOGETHER_DEFAULT = 4;
const SCRIPT = join(import.meta.dirname, 'die-in.ts');

/** Runs it; the kills that met the process alive, and the gaps there are. */
export async function runKillDrill(drill: KillDrill): Promise<{ gaps: number; kills: number }> {
  const whole = await endOf(startOn(drill, copyOf(drill, 'whole'), 0));
  const gaps = Number(/finished (\d+)/.exec(whole.out)?.[1]);
  if (!(gaps > 0)) throw new Error(`${drill.operation} did not finish: ${whole.err}`);
  const moments: { gap: number; afterMs: number }[] = [];
  for (let gap = 1; gap <= gaps; gap += 1) {
    for (let i = 0; i < drill.killsPerGap; i += 1) moments.push({ gap, afterMs: 0 });
  }
  for (let i = 0; i < drill.randomKills; i += 1) {
    // Spread evenly over the time that the whole operation took, and jittered by the machine.
    moments.push({ gap: 0, afterMs: (whole.ms * (i + Math.random())) / drill.randomKills });
  }
  let kills = 0;
  const { together = TOGETHER_DEFAULT } = drill;
  for (let at = 0; at < moments.length; at += together) {
    const part = moments.slice(at, at + together).map(async (moment, i) => {
      const folder = copyOf(drill, `${at + i}`);
      if (await kill(drill, folder, moment)) kills += 1;
      return folder;
    });
    const folders = await Promise.all(part);
    await sleep(drill.silentMs ?? 0);
    await Promise.all(folders.map((folder) => recover(drill, folder)));
  }
  return { gaps, kills };
}

function copyOf({ folder }: KillDrill, name: string): string {
  const copy = `${folder}-${name}`;
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** A process that runs an operation and dies in one of its gaps; in 0 it lives. */
export function startOn(
  { operation, prey }: Pick<KillDrill, 'operation' | 'prey'>,
  folder: string,
  gap: number,
): Running {
  const args = [operation, JSON.stringify(prey), String(gap)];
  return startScript(SCRIPT, args, environmentOf(folder));
}

async function endOf(run: Running) {
  await run.printed('ready');
  const began = performance.now();
  const ended = await run.ended;
  return { ...ended, ms: performance.now() - began };
}

async function kill(drill: KillDrill, folder: string, at: { gap: number; afterMs: number }) {
  const run = startOn(drill, folder, at.gap);
  if (at.gap === 0) {
    await run.printed('ready');
    await sleep(at.afterMs);
    run.child.kill('SIGKILL');
  }
  const ended = await run.ended;
  if (ended.signal === 'SIGKILL') return true;
  if (!ended.out.includes('finished')) throw new Error(`${drill.operation}: ${ended.err}`);
  return false;
}

async function recover(drill: KillDrill, folder: string): Promise<void> {
  const { aheadMs = 0 } = drill;
  const clock = { nowMs: () => Date.now() + aheadMs };
  const store = await openAt(folder, { clock }, drill.prey.app);
  await drill.recover(store);
  await store.ingest.close();
  await store.backends.close();
  rmSync(folder, { recursive: true, force: true });
}

/** Deliveries of people who must not lose anything. */
export function witnessed(): ReturnType<typeof received>[] {
  return Array.from({ length: WITNESSES }, (_, i) => {
    return received(`other-${i}`, `witness ${i}`, { id: `w-${i}`, displayName: `Other ${i}` });
  });
}

/** A hash over every message of witnesses, as people read it. */
export async function othersOf(store: TestStore): Promise<string> {
  const messages = await messagesOf(store, await groupOf(store));
  const others = messages.filter((one) => String(one.content?.text).startsWith('witness'));
  expect(others).toHaveLength(WITNESSES);
  return createHash('sha256').update(JSON.stringify(others)).digest('hex');
}

/** Nothing is half done, nothing is open, nobody else lost a byte. */
export async function expectWhole(store: TestStore, others: string): Promise<void> {
  await store.project();
  expect(await othersOf(store)).toBe(others);
  const powers = store.backends.privacy();
  expect(await powers.requests.open(10)).toEqual([]);
  expect(await store.backends.vaultCheck()).toMatchObject({ tampered: 0, missing: 0 });
  expect(await powers.log.deadLetters.list()).toEqual([]);
}
