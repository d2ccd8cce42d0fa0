import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import type { MessageId } from '../../libs/base/ids.ts';
import { PREVIOUS_KINDS } from '../../libs/vault/rows/key-slots.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { expectWhole, othersOf, type Prey, startOn, witnessed } from '../support/kill-drill.ts';
import { groupOf, messagesOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

// Every gap takes seven minutes: that is for EVERY_GAP=yes; else others of them each time.
const GAP_STEP = process.env.EVERY_GAP ? 1 : 4;
const RANDOM_KILLS = 3;
// A turn has very many gaps, and each kill of one is silent for ten seconds.
const TURN_KILLS = process.env.EVERY_GAP ? 8 : 2;
const TURN_SILENT_MS = 10_500;

const figures: Record<string, unknown> = {};
afterAll(() => recordFigures('kill -9 of privacy on engines', figures));

/** A store of witnesses and of people who lose something, a kill each. */
async function openPeopled(names: readonly string[]) {
  const store = await openTestStore();
  await store.deliver(
    ...names.flatMap((name) => [
      received(name, `first of ${name}`, { id: `${name} 1`, displayName: `Name of ${name}` }),
      received(name, `second of ${name}`, { id: `${name} 2`, conversation: PERSONAL }),
    ]),
    ...witnessed(),
  );
  const group = await groupOf(store);
  const messages = await messagesOf(store, group);
  const preyOf = async (name: string): Promise<Prey> => {
    const message = messages.find((one) => one.content?.text === `first of ${name}`)!;
    const [app, subject] = [store.app.id, await subjectOf(store, name)];
    return {
      app,
      subject,
      group,
      message: message.id as MessageId,
      days: { fromDay: 0, toDay: 0 },
    };
  };
  return { store, group, preyOf, others: await othersOf(store) };
}

type Peopled = Awaited<ReturnType<typeof openPeopled>>;

/** Runs an operation in a process that dies in a gap (0: after some time, or not at all). */
async function dieIn(
  of: { store: TestStore; operation: string; gap: number; afterMs?: number },
  prey: Prey,
) {
  const run = startOn({ operation: of.operation, prey }, of.store.folder, of.gap);
  await run.printed('ready');
  const began = performance.now();
  if (of.afterMs !== undefined) {
    await sleep(of.afterMs);
    run.child.kill('SIGKILL');
  }
  const ended = await run.ended;
  const isKilled = ended.signal === 'SIGKILL';
  if (!isKilled && !ended.out.includes('finished'))
    throw new Error(`${of.operation}: ${ended.err}`);
  const gaps = Number(/finished (\d+)/.exec(ended.out)?.[1] ?? 0);
  return { isKilled, gaps, ms: performance.now() - began };
}

/** Kills in gaps, and some at random; after each, privacy goes on, and in the end all is whole. */
async function drill(
  operation: string,
  finish: (peopled: Peopled, prey: Prey, name: string) => Promise<void>,
): Promise<void> {
  // More than there are gaps.
  const names = Array.from({ length: 60 }, (_, i) => `prey-${i}`);
  const peopled = await openPeopled(names);
  const { store } = peopled;
  const first = names.shift()!;
  const whole = await dieIn({ store, operation, gap: 0 }, await peopled.preyOf(first));
  expect(whole.gaps).toBeGreaterThan(5);
  expect(names.length).toBeGreaterThanOrEqual(whole.gaps + RANDOM_KILLS);
  const moments: { gap: number; afterMs?: number }[] = [];
  const from = 1 + Math.floor(Math.random() * GAP_STEP);
  for (let gap = from; gap <= whole.gaps; gap += GAP_STEP) moments.push({ gap });
  const inGaps = moments.length;
  for (let i = 0; i < RANDOM_KILLS; i += 1) {
    moments.push({ gap: 0, afterMs: whole.ms * Math.random() });
  }
  const kills = { inGaps: 0, atRandom: 0 };
  for (const [i, at] of moments.entries()) {
    const name = names[i]!;
    const prey = await peopled.preyOf(name);
    const { isKilled } = await dieIn({ store, operation, ...at }, prey);
    if (isKilled) kills[at.gap > 0 ? 'inGaps' : 'atRandom'] += 1;
    await runOpenRequests(store.backends.privacy());
    await finish(peopled, prey, name);
  }
  expect(kills.inGaps).toBe(inGaps);
  await expectWhole(store, peopled.others);
  figures[operation] = { gaps: whole.gaps, ...kills };
}

/** Keys that a turn replaced and has not done away with. */
async function keysLeft({ backends }: TestStore): Promise<number> {
  let count = 0;
  for (const kind of PREVIOUS_KINDS) {
    for await (const _ of backends.vaultStore().scan(kind)) count += 1;
  }
  return count;
}

describe('kill -9 of privacy on Kafka, Cassandra and AWS KMS, in gaps between two durable writes:', () => {
  it('an erase is finished by who comes after, nothing half done, and nobody else loses a byte', () =>
    drill('erase', async ({ store, group }, prey, name) => {
      const subject = await subjectOf(store, name).catch(() => undefined);
      const privacy = createPrivacy(store.backends.privacy());
      if (subject !== undefined) await privacy.eraseSubject(store.app.id, prey.subject);
      await expect(subjectOf(store, name)).rejects.toThrow('nobody');
      expect(await textsOf(store, group)).not.toContain(`first of ${name}`);
    }));

  it('a forgotten message is gone, and only it', () =>
    drill('forget message', async ({ store, group }, prey, name) => {
      const privacy = createPrivacy(store.backends.privacy());
      if ((await textsOf(store, group)).includes(`first of ${name}`)) {
        await privacy.forgetMessage(store.app.id, group, prey.message);
      }
      expect(await textsOf(store, group)).not.toContain(`first of ${name}`);
      await subjectOf(store, name);
    }));

  it('a turn is finished by the next run, old keys are gone, and nobody loses a byte', async () => {
    // Some turns have fewer gaps than others: then another one is begun, for a smaller gap.
    const names = Array.from({ length: 1 + 3 * TURN_KILLS }, (_, i) => `prey-${i}`);
    const peopled = await openPeopled(names);
    const { store } = peopled;
    const eraseNext = async () => {
      const prey = await peopled.preyOf(names.shift()!);
      await createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, prey.subject);
      return prey;
    };
    const whole = await dieIn({ store, operation: 'turn', gap: 0 }, await eraseNext());
    expect(whole.gaps).toBeGreaterThan(TURN_KILLS);
    const killedIn: number[] = [];
    for (let i = 0; i < TURN_KILLS; i += 1) {
      // Spread over all gaps.
      let gap = 1 + Math.floor((whole.gaps * (i + Math.random())) / TURN_KILLS);
      const kill = async () => dieIn({ store, operation: 'turn', gap }, await eraseNext());
      while (!(await kill()).isKilled) gap = Math.ceil(gap / 2);
      killedIn.push(gap);
      await sleep(TURN_SILENT_MS);
      const { turn } = await turnEpoch(store);
      expect(turn).toMatchObject({ step: 'done', failedApps: [] });
      expect((await store.backends.epoch().status()).dirtyBuckets).toBe(0);
      expect(await keysLeft(store)).toBe(0);
    }
    await expectWhole(store, peopled.others);
    figures.turn = { gaps: whole.gaps, killedIn };
  });
});
