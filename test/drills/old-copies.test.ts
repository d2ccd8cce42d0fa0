import { describe, expect, it } from 'vitest';
import { decodeRecord } from '../../libs/codec/event-record.ts';
import type { SealedEvent } from '../../libs/codec/sealed-event.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { PERSONAL, received } from '../support/events.ts';
import { recordFigures } from '../support/figures.ts';
import {
  copyFiles,
  countOpening,
  joinCopies,
  openCopy,
  type TodaysKeys,
  undoFences,
} from '../support/old-copies.ts';
import { groupOf, recordsOf, subjectOf, textsOf } from '../support/reading.ts';
import { openTestStore, type TestStore } from '../support/temporary-store.ts';

const PEOPLE = 20;
const names = (kind: string) => Array.from({ length: PEOPLE }, (_, i) => `${kind}-${i}`);
const ALL = ['vault.db', 'lethe.db', 'views.db'];

interface Copies {
  readonly store: TestStore;
  /** Messages of people who will be erased, and of people who live. */
  readonly victims: readonly SealedEvent[];
  readonly living: readonly SealedEvent[];
  /** Folders by when they were copied. */
  readonly taken: Map<string, string>;
  take(when: string): void;
  erase(from: number, to: number): Promise<void>;
}

async function openCopies(): Promise<Copies> {
  const store = await openTestStore();
  const everybody = [...names('victim'), ...names('living')];
  await store.deliver(
    ...everybody.flatMap((name) => [
      received(name, `${name} says`, { displayName: name }),
      received(name, `${name} says alone`, { conversation: PERSONAL }),
    ]),
  );
  const events: SealedEvent[] = [];
  for await (const { key, value } of recordsOf(store)) events.push(decodeRecord(key, value));
  const messages = events.filter(({ header }) => header.type === 'MessagePosted');
  const eventsOf = async (kind: string) => {
    const people = new Set<string>();
    for (const name of names(kind)) people.add(await subjectOf(store, name));
    return messages.filter(({ header }) => people.has(header.owner));
  };
  const taken = new Map<string, string>();
  return {
    store,
    victims: await eventsOf('victim'),
    living: await eventsOf('living'),
    taken,
    take: (when) => void taken.set(when, copyFiles(store, `copy-${taken.size}`, ALL)),
    async erase(from, to) {
      const privacy = createPrivacy(store.backends.privacy());
      for (const name of names('victim').slice(from, to)) {
        await privacy.eraseSubject(store.app.id, await subjectOf(store, name));
      }
      await store.project();
    },
  };
}

/** How many victims' messages open in a doctored store; one that does not open at all: none. */
async function openedIn(copies: Copies, folder: string, files = ['vault.db']) {
  const backends = await openCopy(copies.store, folder, files).catch(() => undefined);
  if (backends === undefined) return { victims: 0, living: 0, store: 'refused' };
  try {
    const victims = await countOpening(backends, copies.victims);
    const living = await countOpening(backends, copies.living);
    return { victims, living, store: 'opened' };
  } finally {
    await backends.close();
  }
}

async function turnWithCopies(copies: Copies, name: string): Promise<void> {
  const { store } = copies;
  let step = 0;
  await turnEpoch(store, () => {
    step += 1;
    copies.take(`during ${name}, step ${step}`);
  });
}

describe('old copies, of 20 erasures and two turns', () => {
  it('S10 S11 open what they held until the turn, as is reported, and of the erased nothing after it', async () => {
    const copies = await openCopies();
    const { store, victims, living } = copies;
    expect([victims.length, living.length]).toEqual([2 * PEOPLE, 2 * PEOPLE]);
    copies.take('before all');
    await copies.erase(0, 5);
    copies.take('after 5 erasures');
    await copies.erase(5, 10);
    copies.take('after 10 erasures');
    // Before the turn is finished the truth is that copies open what they held, and it is told.
    const before = [];
    for (const folder of copies.taken.values()) before.push(await openedIn(copies, folder));
    expect(before.map((one) => one.victims)).toEqual([40, 30, 20]);
    const { dirtyBuckets } = await store.backends.epoch().status();
    const waiting = await store.backends.privacy().requests.afterlives();
    expect(dirtyBuckets).toBeGreaterThan(0);
    expect(waiting.filter((one) => one.t1AtMs === null).length).toBe(10);
    await turnWithCopies(copies, 'turn 1');
    copies.take('after turn 1');
    await copies.erase(10, 15);
    copies.take('after 15 erasures');
    await copies.erase(15, 20);
    await turnWithCopies(copies, 'turn 2');
    copies.take('after turn 2');
    expect((await store.backends.epoch().status()).dirtyBuckets).toBe(0);
    const today = copyFiles(store, 'today', ALL);
    const keys: TodaysKeys[] = ['roots', 'roots and bucket keys', 'roots and keys of predecessors'];
    let tried = 0;
    for (const [when, folder] of copies.taken) {
      const doctored = [
        folder,
        undoFences(store, [folder, today], `undone-${tried}`),
        ...keys.map((one, i) => {
          return joinCopies(store, [folder, today], { name: `joined-${tried}-${i}`, keys: one });
        }),
      ];
      for (const [i, one] of doctored.entries()) {
        const opened = await openedIn(copies, one);
        expect(opened.victims, `${when}, attempt ${i}`).toBe(0);
        // Today's vault with its fences undone is a vault that works: the attempt is a real one.
        if (i === 1) expect(opened.living).toBe(living.length);
        tried += 1;
      }
      // Log and views of that time beside today's vault: all living people, and nobody else.
      const old = await openCopy(store, folder, ['lethe.db', 'views.db']);
      const texts = await textsOf({ ...store, backends: old }, await groupOf(store));
      const shown = texts.filter((text) => text !== null);
      expect(shown.toSorted(), when).toEqual(
        names('living')
          .map((n) => `${n} says`)
          .toSorted(),
      );
      expect(await countOpening(old, living)).toBe(living.length);
      expect(await countOpening(old, victims)).toBe(0);
      await old.close();
    }
    const left = (await store.backends.privacy().requests.afterlives()).filter((one) => {
      return one.t1AtMs === null;
    });
    expect(left).toEqual([]);
    recordFigures('old copies', {
      copies: copies.taken.size,
      attempts: tried,
      openedBeforeTheTurn: before,
      openedAfter: 0,
    });
  });
});
