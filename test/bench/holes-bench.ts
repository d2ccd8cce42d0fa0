/**
 * What a hole costs: bytes and time of the first, the 10th and the 10,000th forgotten message of
 * one conversation, of a cleared conversation, of a year of an app; and what a neighbour's key
 * costs afterwards, warm and at a cold start.
 */

import { DatabaseSync } from 'node:sqlite';
import { textToDay } from '../../libs/base/day.ts';
import type { ConversationId, LossId } from '../../libs/base/ids.ts';
import { createSystemRandomness, randomId } from '../../libs/base/random.ts';
import type { SealedEvent } from '../../libs/codec/sealed-event.ts';
import { fileOf } from '../../libs/configuration/configuration.ts';
import { openEvents } from '../../libs/keyring/open-events.ts';
import type { Ring, RingRef } from '../../libs/keyring/ring.ts';
import { ringKinds, THING_DEPTH, thingPath } from '../../libs/sealing/tree-path.ts';
import { type Backends, openBackends } from '../../libs/wiring/open-backends.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { addPeople, firstMessage } from './bench-people.ts';
import { newBenchStore } from './bench-store.ts';
import { median } from './statistics.ts';

const HOLES = 10_000;
const PEOPLE = 18_000;
const ROUNDS = 9;
const OPENINGS = 1_000;
const randomness = createSystemRandomness();
const id = () => randomId(randomness) as string;

/** Bytes of ring rows and of all segments of the vault. */
function storedBytes(vaultFile: string, ringIds: readonly string[]): number {
  const database = new DatabaseSync(vaultFile, { readOnly: true });
  const sum = (sql: string, ...values: Buffer[]) =>
    Number(database.prepare(sql).get(...values)?.bytes ?? 0);
  const rows = ringIds.map((one) => {
    const sql = 'SELECT sum(length(wrapped)) AS bytes FROM vault_rows WHERE substr(key, 18) = ?';
    return sum(sql, Buffer.from(one, 'hex'));
  });
  const segments = sum('SELECT sum(length(wrapped)) AS bytes FROM vault_segments');
  database.close();
  return rows.reduce((a, b) => a + b, 0) + segments;
}

async function punchHoles(store: Awaited<ReturnType<typeof newBenchStore>>, ref: RingRef) {
  const { keyringShred } = store.backends.privacy();
  const vaultFile = fileOf(store.configuration.vault);
  const bytesBefore = storedBytes(vaultFile, [ref.id]);
  const timesMs: number[] = [];
  const bytes: Record<string, number> = {};
  for (let n = 1; n <= HOLES; n += 1) {
    const path = thingPath(id());
    const began = performance.now();
    await keyringShred.puncture(ref, [{ path, depth: THING_DEPTH }], id() as LossId);
    timesMs.push(performance.now() - began);
    if ([1, 10, HOLES].includes(n)) {
      bytes[n] = Math.round((storedBytes(vaultFile, [ref.id]) - bytesBefore) / n);
    }
  }
  return {
    bytesPerHole: bytes,
    milliseconds: {
      first: timesMs[0],
      tenth: timesMs[9],
      last: median(timesMs.slice(-101)),
    },
  };
}

/** Opening a neighbour of the holes against one of an untouched conversation. */
async function openNeighbours(backends: Backends, events: Record<'holed' | 'whole', SealedEvent>) {
  const reader = backends.reader();
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS + 1; round += 1) {
    const times: Record<string, number> = {};
    for (const [name, event] of Object.entries(events)) {
      const began = performance.now();
      for (let i = 0; i < OPENINGS; i += 1) await openEvents(reader, [event]);
      times[name] = performance.now() - began;
    }
    if (round > 0) ratios.push(times.holed! / times.whole!);
  }
  return median(ratios);
}

/** Milliseconds from "nothing of this ring is in memory" to a message's leaf. */
async function coldLeaf(
  store: Awaited<ReturnType<typeof newBenchStore>>,
  events: Record<'holed' | 'whole', SealedEvent>,
): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const backends = await openBackends(store.configuration);
    const reader = backends.reader();
    await openEvents(reader, [events.whole]);
    const { place, thing } = events.holed.header;
    const ref = { app: store.app.id, kind: ringKinds.place, id: place, things: [thing] };
    const began = performance.now();
    await reader.keyring.use([ref], async ([ring]) => {
      const leaf = Buffer.alloc(32);
      if (!(ring as Ring).writeThingLeaf(Buffer.from(thing, 'hex'), leaf)) throw new Error('gone');
    });
    times.push(performance.now() - began);
    await backends.close();
  }
  return median(times);
}

/** The figures. */
export async function benchHoles() {
  const store = await newBenchStore();
  const { app, backends } = store;
  const group = (externalId: string) => ({ type: 'sdkGroup', externalId });
  const holed = await firstMessage(store, 'ann', group('holed'));
  const whole = await firstMessage(store, 'ben', group('whole'));
  const cleared = await firstMessage(store, 'cem', group('cleared'));
  await addPeople(store, PEOPLE);
  const ref = { app: app.id, kind: ringKinds.place, id: holed.header.place };
  const message = await punchHoles(store, ref);
  const neighbour = await openNeighbours(backends, { holed, whole });
  const coldMs = await coldLeaf(store, { holed, whole });
  const privacy = createPrivacy(backends.privacy());
  const timed = async (ids: string[], work: () => Promise<unknown>) => {
    const bytes = storedBytes(fileOf(store.configuration.vault), ids);
    const began = performance.now();
    await work();
    const milliseconds = performance.now() - began;
    return { milliseconds, bytes: storedBytes(fileOf(store.configuration.vault), ids) - bytes };
  };
  const conversation = await timed([cleared.header.place], () =>
    privacy.clearConversation(app.id, cleared.header.stream as string as ConversationId),
  );
  const year = { fromDay: textToDay('2004-01-01'), toDay: textToDay('2004-12-31') };
  const yearOfApp = await timed([app.id], () => privacy.forgetDays(app.id, year));
  await store.remove();
  return {
    holes: HOLES,
    message,
    neighbourOfUntouched: neighbour,
    coldLeafMs: coldMs,
    conversation,
    yearOfApp: { people: PEOPLE, ...yearOfApp },
  };
}
