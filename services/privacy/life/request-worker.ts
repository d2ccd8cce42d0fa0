/**
 * Carries out requests that others recorded (removals that channels deliver) and those that a crash
 * interrupted. Two workers may meet over one request: every step can be repeated.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RequestId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { isKnownKind, kindUnknown } from '../kinds/kinds.ts';
import { carryOut } from './carry-out.ts';

const BATCH_REQUESTS = 100;
const LOOK_INTERVAL_MS = 200;
// Whoever began a request is given this long between two steps, on top of the lease that it may
// wait for. After that it counts as interrupted.
const IDLE_MS = 5_000;

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

/** How open requests are to be looked for. */
export interface OpenRequestsOptions {
  /** Leaves alone what was changed less than this long ago; 0: nothing is left alone. */
  readonly idleMs: number;
  /** Is told, once a call, of each that stays open because it must not be carried out here. */
  onUnknown?(request: UnknownRequest): void;
}

/**
 * Carries out all open requests; how many were done. One that fails does not hold up the others: it
 * stays open, and the first failure is thrown when all were tried.
 */
export async function runOpenRequests(
  powers: PrivacyPowers,
  options: OpenRequestsOptions = { idleMs: 0 },
): Promise<number> {
  const failed = new Map<string, unknown>();
  const unknown = new Map<string, UnknownRequest>();
  let count = 0;
  for (;;) {
    const idleSinceMs = powers.clock.nowMs() - options.idleMs;
    // Twice what is passed over, so that very many of these take few looks.
    const limit = BATCH_REQUESTS + 2 * (failed.size + unknown.size);
    const open = await powers.requests.open(limit, idleSinceMs);
    for (const one of open) {
      if (one.isForged || !isKnownKind(one.kind)) unknown.set(one.id, one);
    }
    const next = open.filter(({ id }) => !failed.has(id) && !unknown.has(id));
    if (next.length === 0 && open.length < limit) break;
    // All of this look stay open: nothing is waited for, and the next look takes more.
    if (next.length === 0) continue;
    for (const [i, carried] of (await carryOut(powers, next)).entries()) {
      if ('failure' in carried) failed.set(next[i]!.id, carried.failure);
      else count += 1;
    }
  }
  for (const one of unknown.values()) options.onUnknown?.(one);
  for (const error of failed.values()) throw error;
  return count;
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
  while (!signal.aborted) {
    try {
      await runOpenRequests(powers, { idleMs: powers.leaseMs + IDLE_MS, onUnknown });
    } catch (error) {
      onFailure(error);
    }
    await sleep(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}
