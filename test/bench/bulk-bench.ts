/**
 * Many erasures at once (BULK_PEOPLE, 20,000 unless told), with memory looked at on the way and
 * one turn for all; and how often the KMS is called, with one app and with many.
 */

import { rowKinds, type VaultRow } from '../../libs/vault/rows/vault-store.ts';
import { openBackends } from '../../libs/wiring/open-backends.ts';
import { turnEpoch } from '../../services/operations/turn-epoch.ts';
import { createPrivacy } from '../../services/privacy/doors/privacy.ts';
import { addPeople } from './bench-people.ts';
import { newBenchStore } from './bench-store.ts';

const PEOPLE = Number(process.env.BULK_PEOPLE ?? 20_000);
const PART = 1_000;
const MANY_APPS = Number(process.env.BULK_APPS ?? 10_000);
const MEGABYTE = 1_048_576;

/** Rate, memory and the one turn. */
export async function benchBulk() {
  const store = await newBenchStore();
  const people = await addPeople(store, PEOPLE);
  const privacy = createPrivacy(store.backends.privacy());
  const began = performance.now();
  const rssMegabytes: number[] = [];
  const perSecond: number[] = [];
  for (let at = 0; at < people.length; at += PART) {
    const partBegan = performance.now();
    const outcomes = await privacy.eraseSubjects(store.app.id, people.slice(at, at + PART));
    if (outcomes.some((one) => one.status !== 'done')) throw new Error('not all were erased');
    perSecond.push((PART / (performance.now() - partBegan)) * 1_000);
    const tenth = Math.max(1, Math.floor(people.length / PART / 10));
    if ((at / PART) % tenth === 0) rssMegabytes.push(process.memoryUsage().rss / MEGABYTE);
  }
  const seconds = (performance.now() - began) / 1_000;
  const turnBegan = performance.now();
  const { turn } = await turnEpoch(store);
  const turnSeconds = (performance.now() - turnBegan) / 1_000;
  const waiting = (await store.backends.privacy().requests.afterlives()).filter((one) => {
    return one.t1AtMs === null;
  });
  await store.remove();
  return {
    people: people.length,
    perSecond: people.length / seconds,
    perSecondAtFirst: perSecond[0],
    perSecondAtLast: perSecond.at(-1),
    rssMegabytes: rssMegabytes.map(Math.round),
    turn: { seconds: turnSeconds, buckets: turn.buckets, waitingForT1: waiting.length },
  };
}

async function* noRows(): AsyncGenerator<VaultRow> {}

/** Calls of the root KMS: of a cold start, of a turn, of another holder that lives through it. */
async function countCalls(appCount: number) {
  const store = await newBenchStore();
  const { apps } = store.backends.administration();
  // Each creation looks whether its name is free among all: here they are free.
  const vault = store.backends.vaultStore();
  const { scan } = vault;
  vault.scan = (kind, app) =>
    kind === rowKinds.appRecord ? noRows() : scan.call(vault, kind, app);
  for (let i = 1; i < appCount; i += 1) {
    await apps.create({ name: `app-${i}`, buckets: 16, nowMs: Date.now() });
  }
  vault.scan = scan;
  const [person] = await addPeople(store, 1);
  const other = await openBackends(store.configuration);
  const identity = { channel: 'bench', externalId: 'p-0' };
  const use = () => other.reader().directory.findSubjects(store.app.id, [identity]);
  await use();
  const coldStart = other.kmsCallCount();
  const privacy = createPrivacy(store.backends.privacy());
  await privacy.eraseSubject(store.app.id, person!);
  const before = { own: store.backends.kmsCallCount(), other: other.kmsCallCount() };
  await store.backends.epoch().turn({ nowMs: () => Date.now() });
  const turn = store.backends.kmsCallCount() - before.own;
  const name = { source: 's', id: '1', type: 't', actorChannel: '', actorExternalId: '' };
  await other.ingest().ledger.names(store.app.id, [name]);
  const otherHolder = other.kmsCallCount() - before.other;
  await other.close();
  await store.remove();
  return { apps: appCount, coldStart, turn, otherHolder };
}

/** With one app and with many. */
export async function benchKms() {
  return [await countCalls(1), await countCalls(MANY_APPS)];
}
