/**
 * Carries out requests that others recorded (removals that channels deliver) and those that a crash
 * interrupted. Two workers may meet over one request: every step can be repeated.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../../libs/base/clock.ts';
import type { RequestId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import type { PrivacyRequest } from '../../../libs/requests/request.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { isKnownKind, kindUnknown } from '../kinds/kinds.ts';
import { carryOut } from './carry-out.ts';
import { createListWatch, type ListWatch, type Standing } from './list-watch.ts';

const BATCH_REQUESTS = 100;
const LOOK_INTERVAL_MS = 200;
const SEEN_MAX = 100_000;
// Whoever carries a request out says so each second. After this long without a sign, on top of the
// lease, it counts as interrupted.
const SILENT_MS = 5_000;

/** A request of a kind that only a newer version knows, or that nobody who may has made. */
export interface UnknownRequest {
  readonly id: RequestId;
  readonly kind: string;
  /** It does not carry its code: who wrote it had no key of this store. */
  readonly isForged: boolean;
}

/** Why a request is not carried out. */
export function whyUnknown({ id, kind, isForged }: UnknownRequest): LetheError {
  if (!isForged) return kindUnknown(kind);
  const text = `the request ${id} was written or changed from outside: it is not carried out`;
  return new LetheError('VAULT_TAMPERED', `${text}. Look at who can write LETHE_STATE`);
}

function wasRefused(id: RequestId): LetheError {
  const text = `the request ${id} had been refused: it is not carried out`;
  return new LetheError('HELD', `${text}. Its row was written back, or left by a killed process`);
}

/** How open requests are to be looked for. */
export interface OpenRequestsOptions {
  /** Leaves alone what somebody else may be carrying out; without it, nothing is left alone. */
  isInterrupted?(request: PrivacyRequest): boolean;
  /** Is told, once a call, of each that stays open because it must not be carried out here. */
  onUnknown?(request: UnknownRequest): void;
  /** Is told of each that was refused before, by the list: its row is removed. */
  onRefused?(error: LetheError): void;
  /** What is known of the list; without it, all of that is read. */
  readonly list?: ListWatch;
}

/**
 * Carries out all open requests; how many were done. One that fails does not hold up the others: it
 * stays open, and the first failure is thrown when all were tried.
 */
export async function runOpenRequests(
  powers: PrivacyPowers,
  options: OpenRequestsOptions = {},
): Promise<number> {
  const failed = new Map<string, unknown>();
  const unknown = new Map<string, UnknownRequest>();
  const others = new Set<string>();
  const list = options.list ?? createListWatch(powers.erasures);
  let count = 0;
  for (;;) {
    // Twice what is passed over, so that very many of these take few looks.
    const limit = BATCH_REQUESTS + 2 * (failed.size + unknown.size + others.size);
    const open = await powers.requests.open(limit);
    for (const one of open) {
      if (one.isForged || !isKnownKind(one.kind)) unknown.set(one.id, one);
      else if (options.isInterrupted?.(one) === false) others.add(one.id);
    }
    const next = open.filter(({ id }) => !(failed.has(id) || unknown.has(id) || others.has(id)));
    if (next.length === 0 && open.length < limit) break;
    // All of this look stay open: nothing is waited for, and the next look takes more.
    if (next.length === 0) continue;
    const standing = await list.standingOf(next);
    const those = (which: Standing) => next.filter((_, i) => standing[i] === which);
    for (const { id } of those('refused')) {
      await powers.requests.drop(id);
      // It may be there again: once a call is enough.
      others.add(id);
      options.onRefused?.(wasRefused(id));
    }
    for (const [which, as] of [['taken', 'restored'] as const, ['open', 'asked'] as const]) {
      const part = those(which);
      const carriedOut = part.length === 0 ? [] : await carryOut(powers, part, as);
      for (const [i, carried] of carriedOut.entries()) {
        if ('failure' in carried) failed.set(part[i]!.id, carried.failure);
        else count += 1;
      }
    }
  }
  for (const one of unknown.values()) options.onUnknown?.(one);
  for (const error of failed.values()) throw error;
  return count;
}

/**
 * Tells which requests are interrupted: those that nobody has begun, and those of which no sign has
 * come for `silentMs`. That is told by this process's own clock: others' may be wrong.
 */
export function createSilenceWatch(
  clock: Pick<Clock, 'monotonicMs'>,
  silentMs: number,
): (request: PrivacyRequest) => boolean {
  const seen = new Map<RequestId, { readonly sign: string; readonly sinceMs: number }>();
  return ({ id, step, changedAtMs }) => {
    const sign = `${step} ${changedAtMs}`;
    const nowMs = clock.monotonicMs();
    const before = seen.get(id);
    if (before?.sign === sign) return step === 'received' || nowMs - before.sinceMs >= silentMs;
    if (seen.size >= SEEN_MAX) seen.clear();
    seen.set(id, { sign, sinceMs: nowMs });
    return step === 'received';
  };
}

/**
 * Looks for open requests until the signal ends it. Failures are reported and tried again; what is
 * of an unknown kind is reported once.
 */
export async function runRequestWorker(
  powers: PrivacyPowers,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<void> {
  const reported = new Set<string>();
  const onUnknown = (request: UnknownRequest) => {
    if (!reported.has(request.id)) onFailure(whyUnknown(request));
    reported.add(request.id);
  };
  const isInterrupted = createSilenceWatch(powers.clock, powers.leaseMs + SILENT_MS);
  const list = createListWatch(powers.erasures);
  while (!signal.aborted) {
    try {
      await runOpenRequests(powers, { isInterrupted, onUnknown, onRefused: onFailure, list });
    } catch (error) {
      onFailure(error);
    }
    await sleep(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}
