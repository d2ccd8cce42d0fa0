/** What each service tells of itself; names and meaning are listed in infra/runbooks/metrics.md. */

import { checkpointsOf, type ViewsAndLog } from '../../libs/projection/views-behind.ts';
import type { Backends } from '../../libs/wiring/open-backends.ts';
import type { Ingest } from '../ingest/ingest.ts';
import type { EpochGauges } from '../operations/upkeep.ts';
import type { Metrics } from './metrics.ts';

const T0_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const OPEN_REQUESTS_MAX = 10_000;
const DEAD_LETTERS_MS = 60_000;

/** Of every process that holds keys. */
export function addHolderMetrics(metrics: Metrics, backends: Backends, leaseMs: number): void {
  const { count, countEach, measure } = metrics;
  count('lethe_kms_calls_total', 'Calls of the root KMS', () => backends.kmsCallCount());
  count('lethe_kms_failures_total', 'Calls of the root KMS that failed', () =>
    backends.kmsFailureCount(),
  );
  count('lethe_events_sealed_total', 'Events sealed', () => backends.sealerCounts().sealed);
  count('lethe_events_unsealed_total', 'Events unsealed', () => backends.sealerCounts().opened);
  measure('lethe_lease_left_seconds', 'Until keys cannot be used without the feed; 0: lost', () => {
    return backends.leaseLeftMs() / 1_000;
  });
  measure('lethe_lease_seconds', 'The whole lease (LETHE_LEASE_MS)', () => leaseMs / 1_000);
  const pages = { help: 'Pages asked of the cache, by what came of it', label: 'outcome' };
  countEach('lethe_cache_pages_total', pages, () => ({ ...backends.cacheCounts() }));
}

/** Of ingest. */
export function addIngestMetrics(metrics: Metrics, service: Ingest): void {
  const help = 'Items taken in and not answered';
  metrics.measure('lethe_ingest_backlog', help, () => service.backlog);
  const items = { help: 'Items answered, by what became of them', label: 'outcome' };
  metrics.countEach('lethe_ingest_items_total', items, () => ({ ...service.answered }));
}

/**
 * Of every process: how far the views are behind the log. All tell the same, so that it is told
 * also when no projector runs.
 */
export function addLagMetrics(metrics: Metrics, compared: ViewsAndLog): void {
  const behind = { help: 'Records of the log that are not in the views', label: 'partition' };
  metrics.measureEach('lethe_views_behind_events', behind, async () => {
    const next = await checkpointsOf(compared);
    const ends = await compared.log.endOffsets();
    return Object.fromEntries(ends.map((end, i) => [i, Math.max(0, end - next[i]!)]));
  });
  const offsets = { help: 'Place of the views in the log', label: 'partition' };
  metrics.measureEach('lethe_views_offset', offsets, async () => {
    return Object.fromEntries((await checkpointsOf(compared)).entries());
  });
  const count = async () => (await compared.log.deadLetters.list()).length;
  const letters = 'Records that the projector cannot read';
  metrics.measure('lethe_dead_letters', letters, atMostEvery(DEAD_LETTERS_MS, count));
}

/** Asks anew when the last answer is older than that; who asks meanwhile shares one asking. */
function atMostEvery(milliseconds: number, ask: () => Promise<number>): () => Promise<number> {
  let asked: { atMs: number; answer: Promise<number> } | undefined;
  return () => {
    if (asked !== undefined && performance.now() - asked.atMs < milliseconds) return asked.answer;
    const own = { atMs: performance.now(), answer: ask() };
    asked = own;
    own.answer.catch(() => {
      if (asked === own) asked = undefined;
    });
    return own.answer;
  };
}

/** Of privacy: erasures on their way to T0, and what waits for T1. */
export function addPrivacyMetrics(
  metrics: Metrics,
  backends: Backends,
  epoch: () => EpochGauges | undefined,
): void {
  const { requests, clock } = backends.privacy();
  const buckets = 'From the first fence of an erasure to T0';
  const observe = metrics.durations('lethe_erasure_t0_seconds', buckets, T0_BUCKETS);
  backends.onT0((milliseconds) => observe(milliseconds / 1_000));
  const open = () => requests.open(OPEN_REQUESTS_MAX);
  const help = 'Requests of privacy that are not done';
  metrics.measure('lethe_erasures_open', help, async () => (await open()).length);
  const oldest = 'Age of the oldest request of privacy that is not done';
  metrics.measure('lethe_erasures_open_oldest_seconds', oldest, async () => {
    const [first] = await open();
    return first === undefined ? 0 : Math.max(0, clock.nowMs() - first.receivedAtMs) / 1_000;
  });
  const { measure } = metrics;
  const dirty = 'Buckets that lost something since their key was made';
  measure('lethe_epoch_dirty_buckets', dirty, () => epoch()?.dirtyBuckets ?? 0);
  measure('lethe_erasures_waiting_t1', 'Losses whose T1 has not come', () => {
    return epoch()?.waitingForT1 ?? 0;
  });
  const oldestT1 = 'Age of the oldest loss whose T1 has not come';
  measure('lethe_erasures_waiting_t1_oldest_seconds', oldestT1, () => {
    const at = epoch()?.oldestDoneAtMs ?? null;
    return at === null ? 0 : Math.max(0, clock.nowMs() - at) / 1_000;
  });
  const damaged = 'Rows of the vault that do not authenticate, as the last turn saw them';
  measure('lethe_vault_damaged_rows', damaged, () => epoch()?.damagedRows ?? 0);
  const reclaim = 'Losses whose events are still on the log, unreadable';
  measure('lethe_erasures_waiting_reclaim', reclaim, () => epoch()?.waitingForReclaim ?? 0);
}
