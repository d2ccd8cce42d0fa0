import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { decodeSealedEvent } from '../../libs/codec/sealed-event.ts';
import { rowKinds, rowStates } from '../../libs/vault/rows/vault-store.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import { lethe, startLethe } from '../support/processes.ts';
import { defaultConversationOf, recordsOf, subjectOf, textsOf } from '../support/reading.ts';
import { newStoreFolder, openAt, type TestStore } from '../support/temporary-store.ts';

// On servers a new person takes milliseconds: there it is a storm of fewer.
const SERVERS = process.env.TEST_STORE_ENGINES !== undefined;
const PEOPLE = SERVERS ? 3_150 : 50_000;
const ERASED = 20;
const ERASED_BEFORE_TURN = SERVERS ? 2 : 5;
// Every 9th or 100th from the first: nobody of those who are erased, every third from the start.
const SAMPLE = SERVERS ? 350 : 500;

/** One message of each person, in an order of its own. */
function writeLines(folder: string, channel: string, orderOf: (i: number) => number): string {
  const file = join(folder, `${channel}.jsonl`);
  const lines = Array.from({ length: PEOPLE }, (_, i) => {
    const n = orderOf(i);
    const more = { id: `${channel}-${n}`, source: `/channels/${channel}/main` };
    return JSON.stringify(
      received(`new-${n}`, `${channel} ${n}`, { ...more, conversation: PERSONAL }),
    );
  });
  writeFileSync(file, lines.join('\n'));
  return file;
}

/** Who the messages on the log are about. */
async function ownersOf(store: TestStore): Promise<string[]> {
  const owners: string[] = [];
  for await (const { value } of recordsOf(store)) {
    const { header } = decodeSealedEvent(value);
    if (header.type === 'MessagePosted') owners.push(header.owner);
  }
  return owners;
}

/** Erases people who have just come, and turns the epoch, while both processes go on. */
async function eraseAndTurn(store: TestStore, isRunning: () => number) {
  const privacy = createPrivacy(store.backends.privacy());
  const erased: string[] = [];
  const eraseUntil = async (count: number) => {
    for (let n = erased.length; erased.length < count; ) {
      const subject = await subjectOf(store, `new-${n * 3}`).catch(() => undefined);
      if (subject === undefined) await sleep(50);
      else {
        const outcome = await privacy.eraseSubject(store.app.id, subject);
        expect(outcome).toMatchObject({ status: 'done' });
        erased.push(subject);
        n += 1;
      }
    }
  };
  await eraseUntil(ERASED_BEFORE_TURN);
  const runningBefore = isRunning();
  const { turn } = await turnEpoch(store);
  const turnsEnd = { runningBefore, running: isRunning(), at: performance.now() };
  await eraseUntil(ERASED);
  return { erased, turn, turnsEnd };
}

describe('a storm of new people', () => {
  it('from two processes, with erasures and a turn among it: one ring each, under no retired key', async () => {
    const folder = await newStoreFolder();
    const app = (await lethe(folder, ['apps', 'create', 'demo'])).json.app.id;
    const files = [
      writeLines(folder, 'one', (i) => i),
      // The same people, in runs that overtake the other process now and then.
      writeLines(folder, 'two', (i) => (i % 2 === 0 ? i : PEOPLE - i)),
    ];
    const began = performance.now();
    const runs = files.map((file) => {
      const report = `${file}.rejected`;
      return startLethe(folder, ['ingest', file, '--app', 'demo', '--json', '--report', report]);
    });
    const store = await openAt(folder, {}, app);
    const running = () => runs.filter((run) => run.child.exitCode === null).length;
    const { erased, turn, turnsEnd } = await eraseAndTurn(store, running);
    const seconds = Math.round(performance.now() - began) / 1_000;
    const accepted = [];
    for (const run of runs) {
      const ended = await run.ended;
      expect(ended.code, ended.err).toBe(0);
      // Names are met once in a file: a duplicate went in just before a server stalled.
      const summary = JSON.parse(ended.out.trim().split('\n').at(-1)!);
      accepted.push(summary.accepted + summary.duplicate);
    }
    expect(turn).toMatchObject({ step: 'done', failedApps: [] });
    // Else it would show nothing: it began beside both, and ended while the storm went on.
    expect(turnsEnd.runningBefore).toBe(2);
    expect(turnsEnd.running).toBeGreaterThan(0);
    expect(accepted).toEqual([PEOPLE, PEOPLE]);
    const wholeSeconds = Math.round(performance.now() - began) / 1_000;
    // Whoever was erased and wrote again is somebody new: nobody else has a second ring.
    const owners = new Set(await ownersOf(store));
    const living = new Set([...owners].filter((owner) => !erased.includes(owner)));
    const anew = living.size - (PEOPLE - ERASED);
    expect(anew).toBeGreaterThanOrEqual(0);
    expect(anew).toBeLessThanOrEqual(ERASED);
    let rings = 0;
    for await (const row of store.backends.vaultStore().scan(rowKinds.ownerRing, store.app.id)) {
      if (row.state === rowStates.active && owners.has(row.id)) rings += 1;
    }
    expect(rings).toBe(living.size);
    let both = 0;
    for (let n = 1; n < PEOPLE; n += PEOPLE / SAMPLE) {
      const texts = await textsOf(store, await defaultConversationOf(store, `new-${n}`));
      if (texts.includes(`one ${n}`) && texts.includes(`two ${n}`)) both += 1;
      expect(texts).not.toContain(null);
    }
    expect(both).toBeGreaterThanOrEqual(SAMPLE - ERASED);
    await store.ingest.close();
    await store.backends.close();
    const doctor = await lethe(folder, ['doctor']);
    expect(doctor.json).toMatchObject({ passed: true });
    const again = await lethe(folder, ['epoch', 'turn']);
    expect(again.code).toBe(0);
    expect((await lethe(folder, ['doctor'])).json).toMatchObject({ passed: true });
    recordFigures('ring storm', {
      people: PEOPLE,
      erased: ERASED,
      anew,
      turnedAfterSeconds: Math.round(turnsEnd.at - began) / 1_000,
      erasedAndTurnedAfterSeconds: seconds,
      wholeSeconds,
    });
  });
});
