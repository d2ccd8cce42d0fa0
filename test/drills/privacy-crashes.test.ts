import { describe, expect, it } from 'vitest';
import { DAY_MS, textToDay } from '../../libs/base/day.ts';
import type { MessageId } from '../../libs/base/ids.ts';
import { rebuildViews } from '../../libs/projection/project.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { reclaimDue } from '../../services/operations/upkeep.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { runOpenRequests } from '../../services/privacy/life/request-worker.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import {
  expectWhole,
  type KillDrill,
  othersOf,
  type Prey,
  runKillDrill,
  WITNESSES,
  witnessed,
} from '../support/kill-drill.ts';
import { groupOf, messagesOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

// Whoever runs a turn is taken to be gone when it was silent for so long.
const TURN_SILENT_MS = 10_500;

/** A closed store with one who will lose something and others who must not. */
async function prepare(before: (store: TestStore, prey: Prey) => Promise<unknown>) {
  const store = await openTestStore();
  await store.deliver(
    received('prey', 'prey 1', { id: '1', displayName: 'Prey' }),
    received('prey', 'prey 2', { id: '2', time: '2024-02-02T12:00:00.000Z' }),
    received('prey', 'prey 3', { id: '3', conversation: PERSONAL }),
    ...witnessed(),
  );
  const group = await groupOf(store);
  const messages = await messagesOf(store, group);
  const message = messages.find((one) => one.content?.text === 'prey 1')!.id as MessageId;
  const day = textToDay('2024-02-02');
  const days = { fromDay: day, toDay: day };
  const subject = await subjectOf(store, 'prey');
  const prey = { app: store.app.id, subject, group, message, days };
  await before(store, prey);
  await store.project();
  const others = await othersOf(store);
  await store.ingest.close();
  await store.backends.close();
  return { folder: store.folder, prey, others };
}

async function drill(
  operation: string,
  more: Pick<KillDrill, 'killsPerGap' | 'recover'> & Partial<KillDrill>,
  before: (store: TestStore, prey: Prey) => Promise<unknown> = async () => undefined,
): Promise<void> {
  const { folder, prey, others } = await prepare(before);
  const done = await runKillDrill({
    operation,
    folder,
    prey,
    randomKills: 10,
    ...more,
    async recover(store) {
      await more.recover(store);
      await expectWhole(store, others);
    },
  });
  expect(done.kills).toBeGreaterThanOrEqual(done.gaps);
  recordFigures(`kill -9 of ${operation}`, done);
}

/** Finishes a request that was recorded; asks anew where the process died before. */
async function finish(store: TestStore, again: () => Promise<unknown>): Promise<void> {
  await runOpenRequests(store.backends.privacy());
  await again();
}

const textsNow = async (store: TestStore) => {
  const texts = await textsOf(store, await groupOf(store));
  return texts.map((text) => (text?.startsWith('witness') ? 'witness' : text));
};
const ALL_OTHERS = new Array(WITNESSES).fill('witness');

describe('kill -9 at every gap between two durable writes, and at random moments:', () => {
  it('an erase is finished, nothing half done, and nobody else loses a byte', () =>
    drill('erase', {
      killsPerGap: 3,
      async recover(store) {
        const privacy = createPrivacy(store.backends.privacy());
        const subject = await subjectOf(store, 'prey').catch(() => undefined);
        await finish(store, async () => {
          if (subject !== undefined) await privacy.eraseSubject(store.app.id, subject);
        });
        await expect(subjectOf(store, 'prey')).rejects.toThrow('nobody');
        expect((await textsNow(store)).toSorted()).toEqual([null, null, ...ALL_OTHERS].toSorted());
      },
    }));

  it('a forgotten message is gone, and only it', () =>
    drill('forget message', {
      killsPerGap: 3,
      async recover(store) {
        const group = await groupOf(store);
        await finish(store, async () => {
          const [message] = (await messagesOf(store, group)).filter((one) => {
            return one.content?.text === 'prey 1';
          });
          if (message === undefined) return;
          const privacy = createPrivacy(store.backends.privacy());
          await privacy.forgetMessage(store.app.id, group, message.id as MessageId);
        });
        expect((await textsNow(store)).toSorted()).toEqual(
          [null, 'prey 2', ...ALL_OTHERS].toSorted(),
        );
      },
    }));

  it('forgotten days of one person are gone, and only they', () =>
    drill('forget days', {
      killsPerGap: 3,
      async recover(store) {
        const subject = await subjectOf(store, 'prey');
        const day = textToDay('2024-02-02');
        const privacy = createPrivacy(store.backends.privacy());
        await finish(store, () =>
          privacy.forgetDays(store.app.id, { fromDay: day, toDay: day, subject }),
        );
        expect((await textsNow(store)).toSorted()).toEqual(
          [null, 'prey 1', ...ALL_OTHERS].toSorted(),
        );
      },
    }));

  it('a reclaim is finished, and the views are those that a rebuild gives', () =>
    drill(
      'reclaim',
      {
        killsPerGap: 3,
        aheadMs: 40 * DAY_MS,
        async recover(store) {
          await reclaimDue(store);
          expect(await textsNow(store)).toEqual(ALL_OTHERS);
          const before = JSON.stringify(await messagesOf(store, await groupOf(store)));
          await rebuildViews(
            store.backends.projector(),
            store.backends.reader().keyring,
            () => undefined,
          );
          expect(JSON.stringify(await messagesOf(store, await groupOf(store)))).toBe(before);
          const powers = store.backends.privacy();
          const left = (await powers.requests.afterlives()).filter((one) => !one.reclaimedAtMs);
          expect(left).toEqual([]);
        },
      },
      (store, prey) =>
        createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, prey.subject),
    ));

  it('a turn is finished by the next run, old keys are gone, and nobody loses a byte', () =>
    drill(
      'turn',
      {
        killsPerGap: 1,
        silentMs: TURN_SILENT_MS,
        together: 10,
        async recover(store) {
          const { turn } = await turnEpoch(store);
          expect(turn).toMatchObject({ step: 'done', failedApps: [] });
          const { dirtyBuckets, waitingForT1 } = {
            ...(await store.backends.epoch().status()),
            waitingForT1: (await store.backends.privacy().requests.afterlives()).filter(
              (one) => one.t1AtMs === null,
            ),
          };
          expect([dirtyBuckets, waitingForT1]).toEqual([0, []]);
        },
      },
      (store, prey) =>
        createPrivacy(store.backends.privacy()).eraseSubject(store.app.id, prey.subject),
    ));
});
