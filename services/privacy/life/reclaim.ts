/**
 * Reclaim: when the redelivery horizon has passed since a loss, the events that nobody can open any
 * more leave the log. The views are built anew from what is left. One scan of the log serves all
 * losses that are due. Every step can be repeated: an interrupted reclaim is finished by running it
 * again.
 */

import { DAY_MS, msToDay } from '../../../libs/base/day.ts';
import type { LossId, RequestId } from '../../../libs/base/ids.ts';
import { isLetheError } from '../../../libs/base/lethe-error.ts';
import { decodeRecord } from '../../../libs/codec/event-record.ts';
import type { EventHeader } from '../../../libs/codec/sealed-event.ts';
import { isTombstone, type PlacedRecord } from '../../../libs/event-log/event-log.ts';
import { readLog } from '../../../libs/event-log/read-log.ts';
import { useEventRings } from '../../../libs/keyring/event-rings.ts';
import { isKeyForgotten } from '../../../libs/keyring/event-sealer.ts';
import { lookPastDamage } from '../../../libs/keyring/past-damage.ts';
import { collectRefs, type RingRef, ringRefToKey } from '../../../libs/keyring/ring.ts';
import type { Afterlife, PrivacyRequest } from '../../../libs/requests/request.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { EventTest, LostEvents } from '../kinds/kind.ts';
import { isKnownKind, kindOf } from '../kinds/kinds.ts';
import { reachAll } from './afterlife.ts';

/** What came of a reclaim. */
export interface Reclaimed {
  /** Losses whose events are gone now. */
  readonly losses: number;
  /** Records removed from the log. */
  readonly records: number;
  /** Losses that wait: for their day, or with it. */
  readonly waiting: number;
  /**
   * Of them those whose day has come. Their app is being erased, or has a request that only a newer
   * version knows.
   */
  readonly kept: number;
  /** The first of those days; null: nothing waits. */
  readonly nextDueMs: number | null;
}

const PAGE_RECORDS = 2_000;

/** When the events of a loss are due: at a day's end, so that a day's losses share one scan. */
export function reclaimDueMs(
  { doneAtMs }: Pick<Afterlife, 'doneAtMs'>,
  { horizonDays }: Pick<PrivacyPowers, 'horizonDays'>,
): number {
  return (msToDay(doneAtMs) + 1 + horizonDays) * DAY_MS;
}

/**
 * Reclaims what is due. `rebuildViews` builds the views anew from the log; `onProgress` is given
 * the records looked at and those that were there when it began.
 */
export async function reclaim(
  powers: PrivacyPowers,
  use: {
    rebuildViews(): Promise<unknown>;
    onProgress?(done: number, total: number): void;
  },
): Promise<Reclaimed> {
  const nowMs = powers.clock.nowMs();
  await correctEnds(powers, nowMs);
  const unreclaimed = (await powers.requests.afterlives()).filter(isUnreclaimed);
  const late = unreclaimed.filter((one) => reclaimDueMs(one, powers) <= nowMs);
  const days = unreclaimed.filter((one) => !late.includes(one));
  const nextDueMs = days
    .map((one) => reclaimDueMs(one, powers))
    .reduce<number | null>((least, day) => Math.min(least ?? day, day), null);
  const apps = late.length === 0 ? new Set() : keptAppsOf(await readWaiting(powers, idsOf(late)));
  const due = late.filter((one) => !apps.has(one.app));
  const removed = due.length === 0 ? NOTHING : await removeLost(powers, due, use);
  // Also when nothing was removed: it may have been by a reclaim that ended before this.
  if (due.length > 0) await use.rebuildViews();
  // What began in an app while the log was scanned has kept its events.
  const done = due.filter((one) => !removed.keptApps.has(one.app));
  for (const app of new Set(done.map((one) => one.app))) await powers.cache.drop(app, 'all');
  await reachAll(powers, done, { reclaimedAtMs: powers.clock.nowMs() });
  const losses = done.length;
  const kept = late.length - losses;
  return {
    losses,
    records: removed.records,
    waiting: unreclaimed.length - losses,
    kept,
    nextDueMs,
  };
}

/** Nothing ends in the future: a clock that was far ahead must not keep events for as long. */
async function correctEnds({ requests }: PrivacyPowers, nowMs: number): Promise<void> {
  for (const { id, doneAtMs } of await requests.afterlives()) {
    if (doneAtMs > nowMs + DAY_MS) await requests.endedBy(id, nowMs);
  }
}

const idsOf = (losses: readonly Afterlife[]) => new Set(losses.map((one) => one.id));

const isUnreclaimed = (one: Afterlife) => one.reclaimedAtMs === null;

/** What a scan of the log removed, and the apps that it passed over. */
interface Removed {
  readonly records: number;
  readonly keptApps: ReadonlySet<string>;
}

const NOTHING: Removed = { records: 0, keptApps: new Set() };

async function removeLost(
  powers: PrivacyPowers,
  due: readonly Afterlife[],
  { onProgress }: { onProgress?(done: number, total: number): void },
): Promise<Removed> {
  const { log } = powers;
  const ids = idsOf(due);
  const total = (await log.endOffsets()).reduce((sum, end) => sum + end, 0);
  const keptApps = new Set<string>();
  let [done, removed] = [0, 0];
  for await (const records of readLog(log, PAGE_RECORDS)) {
    const lost = await lostOf(powers, records, { due: ids, keptApps });
    if (lost.length > 0) await log.remove(lost);
    removed += lost.length;
    done += records.length;
    onProgress?.(done, total);
  }
  return { records: removed, keptApps };
}

/** An event that nobody can open, with what it takes to know which loss took it. */
interface LostEvent {
  readonly record: PlacedRecord;
  readonly header: EventHeader;
  /** Its rings that are fences; none: a hole in one of them took it. */
  readonly fences: readonly RingRef[];
}

/** The records of a page that were lost by a request that is due; adds the apps that it keeps. */
async function lostOf(
  powers: PrivacyPowers,
  records: readonly PlacedRecord[],
  { due, keptApps }: { due: ReadonlySet<RequestId>; keptApps: Set<string> },
): Promise<PlacedRecord[]> {
  const lost = await findLost(powers, records);
  if (lost.length === 0) return [];
  const fences = collectRefs(lost.flatMap((one) => one.fences));
  const by = await powers.keyringShred.fencedBy([...fences.values()]);
  const erasureOf = new Map([...fences.keys()].map((key, i) => [key, by[i]!]));
  // After the look at the rings: whatever was lost by then has its request here.
  const waiting = await readWaiting(powers, due);
  const apps = keptAppsOf(waiting);
  const losses = new Set<LossId | null>(waiting.map((one) => one.loss));
  const takes = await takesOf(powers, waiting);
  for (const app of apps) keptApps.add(app);
  const isDue = ({ header, fences }: LostEvent) => {
    if (apps.has(header.app)) return false;
    if (fences.length === 0) return !takes.some((took) => took(header));
    return fences.some((ref) => !losses.has(erasureOf.get(ringRefToKey(ref))!));
  };
  return lost.filter(isDue).map((one) => one.record);
}

async function findLost(
  { keyring }: PrivacyPowers,
  records: readonly PlacedRecord[],
): Promise<readonly LostEvent[]> {
  const events = records.flatMap((record) => {
    const header = readHeader(record);
    return header === undefined ? [] : [{ record, header }];
  });
  // What cannot be judged stays.
  return lookPastDamage(
    events,
    (part) => judge(keyring, part),
    () => [],
  );
}

async function judge(
  keyring: PrivacyPowers['keyring'],
  events: readonly { record: PlacedRecord; header: EventHeader }[],
): Promise<LostEvent[]> {
  const headers = events.map(({ header }) => header);
  return useEventRings(keyring, headers, async (ringsOf) =>
    events.flatMap(({ record, header }) => {
      const { outcomes, whole } = ringsOf(header);
      const fences = outcomes.flatMap(({ ref, outcome }) => (outcome === 'erased' ? [ref] : []));
      if (fences.length > 0) return [{ record, header, fences }];
      // A ring that is not there is tampering, not a loss: `lethe doctor` tells.
      if (whole === undefined) return [];
      return isKeyForgotten(header, whole) ? [{ record, header, fences }] : [];
    }),
  );
}

/** What cannot be read is not judged: it stays. */
function readHeader(record: PlacedRecord): EventHeader | undefined {
  if (isTombstone(record)) return undefined;
  try {
    return decodeRecord(record.key, record.value).header;
  } catch (error) {
    if (isLetheError(error)) return undefined;
    throw error;
  }
}

type Waiting = PrivacyRequest | Afterlife;

/** Losses whose events must stay: their day has not come, or they are under way. */
async function readWaiting(powers: PrivacyPowers, due: ReadonlySet<RequestId>): Promise<Waiting[]> {
  const { requests } = powers;
  const open = await requests.open(Number.MAX_SAFE_INTEGER);
  const done = (await requests.afterlives()).filter(isUnreclaimed);
  const ours = open.filter(({ isForged }) => !isForged);
  return [...ours, ...done].filter((one) => !due.has(one.id));
}

/** What a newer version's request takes is not known here: everything of its app stays. */
function takenBy({ kind }: Waiting): LostEvents['by'] {
  return isKnownKind(kind) ? kindOf(kind).lostEvents.by : 'app';
}

function keptAppsOf(waiting: readonly Waiting[]): Set<string> {
  return new Set(waiting.filter((one) => takenBy(one) === 'app').map((one) => one.app));
}

async function takesOf(powers: PrivacyPowers, waiting: readonly Waiting[]): Promise<EventTest[]> {
  const takes: EventTest[] = [];
  for (const one of waiting)
    if (takenBy(one) === 'target') takes.push(await matcherOf(powers, one));
  return takes;
}

/** The target of a kind that is known by it is kept until its events are reclaimed. */
function matcherOf(powers: PrivacyPowers, { app, kind, target }: Waiting): Promise<EventTest> {
  return kindOf(kind).matcher(powers, app, target as PrivacyRequest['target']);
}
