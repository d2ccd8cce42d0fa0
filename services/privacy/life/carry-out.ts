/**
 * Carries out requests in two halves: first key material goes; then, when no running process can
 * use it any more (T0), everything else.
 *
 * Every step is recorded before it is done, is durable when it ends, and can be repeated. So a
 * request that was interrupted anywhere is finished by running it again.
 */

import type { RequestId } from '../../../libs/base/ids.ts';
import { isLetheError, LetheError } from '../../../libs/base/lethe-error.ts';
import { inSpan } from '../../../libs/engines/tracing.ts';
import type { PassedHolders } from '../../../libs/keyring/holder-wait.ts';
import { isDamage } from '../../../libs/keyring/past-damage.ts';
import { type Joined, type ListedRequest, takenOf } from '../../../libs/requests/erasure-list.ts';
import type { PrivacyRequest, RequestKind } from '../../../libs/requests/request.ts';
import type { KnownPlace } from '../../../libs/vault/keys/list-heads.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { Captures } from '../kinds/capture.ts';
import type { Asked, Kind } from '../kinds/kind.ts';
import { kindOf } from '../kinds/kinds.ts';
import { recordTaken } from '../kinds/record-taken.ts';
import { type Run, tookNothing } from '../kinds/run.ts';
import { assertApproved } from './approvals.ts';
import { type AttackReport, attack } from './attack.ts';
import { type Certified, certify, issuedBefore } from './certificate.ts';
import { isEntryThere, opensStill } from './look-again.ts';
import { purgePages } from './purge-pages.ts';
import { respectHolds, respectRefusal } from './respect-holds.ts';
import { giveSigns, type SignsOfLife } from './signs-of-life.ts';

const SHRED_ATTEMPTS_MAX = 3;

/** What came of one request: how T0 was reached, whom it joins, or why it stays open. */
export type Carried = Done | { readonly joined: RequestId } | { readonly failure: unknown };

/** What a request came to. */
export interface Done {
  readonly t0: PassedHolders;
  /** Of the erasure of a person or an app. */
  readonly attack?: AttackReport;
  readonly certificate?: Certified;
}

/**
 * Carries requests out to their end; they share the wait for T0. `restored`: they were carried out
 * before, when nothing held them. `since`: of those that ask for the same as one that was listed
 * after that place nothing is done; they come to `joined`. `listed`: they are on the list.
 */
export async function carryOut(
  powers: PrivacyPowers,
  requests: readonly PrivacyRequest[],
  as: Asked = 'asked',
  since?: KnownPlace | 'listed',
): Promise<Carried[]> {
  const signs = giveSigns(powers, requests);
  try {
    return await carryOutTogether(powers, requests, { as, signs, since });
  } finally {
    await signs.end();
  }
}

async function carryOutTogether(
  powers: PrivacyPowers,
  requests: readonly PrivacyRequest[],
  {
    as,
    signs,
    since,
  }: { as: Asked; signs: SignsOfLife; since?: KnownPlace | 'listed' | undefined },
): Promise<Carried[]> {
  const failures = new Map<PrivacyRequest, unknown>();
  // What fails in one request, also by being of an unknown kind, holds up no other.
  const attempt = async (
    request: PrivacyRequest,
    work: (kind: Kind<RequestKind>) => Promise<void>,
  ) => {
    if (failures.has(request)) return;
    try {
      await work(kindOf(request.kind));
    } catch (error) {
      failures.set(request, error);
    }
  };
  const attemptInApp = (
    request: PrivacyRequest,
    work: (run: Run, kind: Kind<RequestKind>) => Promise<void>,
  ) =>
    attempt(request, async (kind) => {
      const run = await openRun(powers, request, signs);
      if (run !== undefined) await work(run, kind);
    });
  for (const request of requests) {
    await attemptInApp(request, async (run) => {
      assertApproved(run);
      await respectRefusal(run, as);
      await respectHolds(run, as);
    });
  }
  const standing = requests.filter((request) => !failures.has(request));
  const joined = await listAll(powers, standing, { as, since });
  for (const request of requests) {
    if (joined.has(request.id)) failures.set(request, new Error('it joins another one'));
  }
  const captures = new Map<PrivacyRequest, Captures>();
  const fencedAtMs = powers.clock.monotonicMs();
  for (const request of requests) {
    await attemptInApp(request, async (run, kind) => {
      const captured = await kind.certificate?.capture(run).catch((error) => {
        // Of what is damaged nothing can be tried; what was taken before goes all the same.
        if (as === 'asked' || !isDamage(error)) throw error;
        return undefined;
      });
      if (captured !== undefined) captures.set(request, captured);
      await run.step('shred');
      await shredAll(run, kind, as);
    });
  }
  const refusedAnew = await endRefused(powers, failures, as);
  const again = new Map<PrivacyRequest, Carried>();
  if (refusedAnew.length > 0) {
    const carried = await carryOutTogether(powers, refusedAnew, { as: 'restored', signs });
    for (const [i, one] of carried.entries()) again.set(refusedAnew[i]!, one);
  }
  const t0 = await inSpan('pass holders', {}, () => powers.holders.passHolders());
  powers.onT0(powers.clock.monotonicMs() - fencedAtMs);
  const done = new Map<PrivacyRequest, Done>();
  for (const request of requests) {
    await attemptInApp(request, async () => {
      const captured = captures.get(request);
      done.set(request, { t0, ...(await verify(powers, request, { t0, captured, as })) });
    });
    await attemptInApp(request, purgePages);
    await attemptInApp(request, async (run, kind) => {
      await run.step('finish');
      await kind.finish(run);
    });
    await attempt(request, async (kind) => {
      await kind.end?.(powers, request);
      if (await isEntryThere(powers, request)) throw tookNothing(request);
    });
  }
  const taken = requests.filter((request) => !failures.has(request));
  if (as !== 'restored') await recordTaken(powers, idsOf(taken));
  for (const request of requests) {
    await attempt(request, async (kind) => {
      const keepsTarget = kind.lostEvents.by === 'target';
      // After the last write of it, so that a turn that begins later finds all it took.
      const afterTurn = await powers.newestTurn();
      const nowMs = powers.clock.nowMs();
      signs.done(request);
      await powers.requests.finish(request, { nowMs, keepsTarget, afterTurn });
      await confirmSalt(powers, request, done);
    });
  }
  return requests.map((request) => {
    const carried = again.get(request);
    if (carried !== undefined) return carried;
    const other = joined.get(request.id);
    if (other !== undefined) return { joined: other };
    return failures.has(request)
      ? { failure: failures.get(request) }
      : (done.get(request) ?? { t0 });
  });
}

/** Before anything goes: a restore must know of it even if this process ends here. */
function listAll(
  { erasures, clock }: PrivacyPowers,
  requests: readonly PrivacyRequest[],
  { as, since }: { as: Asked; since: KnownPlace | 'listed' | undefined },
): Promise<Joined> {
  const atMs = clock.nowMs();
  // A later step was recorded after that; and what is carried out again is on it.
  const isListed = ({ step }: PrivacyRequest) =>
    as !== 'asked' || since === 'listed' || !(step === 'received' || step === 'begun');
  const unlisted = requests.filter((request) => !isListed(request));
  // Also where nothing is added this looks at the list: cut off, it may not say who was refused.
  return erasures.add(
    unlisted.map(
      ({ id, loss, app, kind, target }) => ({ id, loss, app, kind, target, atMs }) as ListedRequest,
    ),
    since === 'listed' ? undefined : since,
  );
}

/**
 * A write that was answered may have changed nothing: a trigger has undone it, or the row carries a
 * time of writing that lies ahead. Throws VAULT_TAMPERED: no T0 is told then.
 */
async function shredAll(run: Run, kind: Kind<RequestKind>, as: Asked): Promise<void> {
  const request = run.request as PrivacyRequest;
  // Somebody may have come anew between what was read and what was taken: then once more.
  for (let attempt = 0; attempt < SHRED_ATTEMPTS_MAX; attempt += 1) {
    await kind.shred(run, as);
    if (await opensStill(run.powers, request)) continue;
    // A backup may be older than the rings: whoever asks for them finds that they are gone.
    const fences = kind.fences?.(run.app.id, request.target as never) ?? [];
    if (as === 'restored') await run.powers.keyringShred.mendFences(fences, request.loss);
    return;
  }
  throw tookNothing(request);
}

const idsOf = (requests: readonly PrivacyRequest[]) => requests.map(({ id }) => id);

/** Another worker on the same request may have certified it since: then its salt counts. */
async function confirmSalt(
  { certificates }: PrivacyPowers,
  request: PrivacyRequest,
  done: Map<PrivacyRequest, Done>,
): Promise<void> {
  const own = done.get(request);
  if (own?.certificate === undefined) return;
  if (await certificates.holds(request.id, own.certificate.subject)) return;
  done.set(request, { ...own, certificate: { ...own.certificate, salt: null } });
}

/**
 * A request that met a hold is over: nothing of it was done. Gives those that have taken before, by
 * the list of erasures: somebody has written their rows back, and the hold came later or is gone.
 */
async function endRefused(
  { requests, erasures, clock }: PrivacyPowers,
  failures: ReadonlyMap<PrivacyRequest, unknown>,
  as: Asked,
): Promise<PrivacyRequest[]> {
  const refused = [...failures].filter(([, error]) => isLetheError(error, 'HELD'));
  if (refused.length === 0) return [];
  // On the list, or it would be carried out when its row is written back and the hold has ended.
  // What may have been carried out before stays there as it is.
  const taken = takenOf(as === 'asked' ? await erasures.read() : []);
  const before: PrivacyRequest[] = [];
  for (const [request] of refused) {
    const { id, app } = request;
    if (taken.has(id)) {
      before.push(request);
      continue;
    }
    const withdrawn = { id, app, kind: 'withdrawn' as const, target: {}, atMs: clock.nowMs() };
    if (as === 'asked') await erasures.add([withdrawn]);
    await requests.drop(id);
  }
  return before;
}

/** Nothing is finished, nor certified, before what was captured was tried and failed. */
async function verify(
  powers: PrivacyPowers,
  request: PrivacyRequest,
  given: { t0: PassedHolders; captured: Captures | undefined; as: Asked },
): Promise<Omit<Done, 't0'>> {
  const { captured, t0, as } = given;
  if (captured === undefined) return {};
  const report = await attack(powers, request.app, {
    captures: captured,
    passed: t0,
  });
  const { name } = captured;
  // Another worker has ended it meanwhile: what it has certified counts, and so does its salt.
  const now = await powers.requests.get(request.id);
  const isEnded = now === undefined || now.step === 'done';
  // What was handed out when it was asked for must count after it was carried out again.
  const issued = as !== 'asked' || isEnded ? await issuedBefore(powers, request) : undefined;
  const certificate =
    issued ?? (await certify(powers, request, { name, passed: t0, attack: report }));
  return { attack: report, certificate };
}

async function openRun(
  powers: PrivacyPowers,
  request: PrivacyRequest,
  signs: SignsOfLife,
): Promise<Run | undefined> {
  const step: Run['step'] = async (name) => {
    if (await signs.step(request, name)) return;
    // Another worker may have met a hold, and ended it. Where there is none, its row was removed.
    const app = await powers.apps.find(request.app);
    const anew = { ...request, step: 'received' as const } as PrivacyRequest;
    if (app !== undefined) await respectHolds({ powers, app, request: anew, step }, 'asked');
    throw notThere();
  };
  const app = await powers.apps.find(request.app);
  return app && { powers, app, request, step };
}

/** Nothing more may go: nobody could tell what it was. */
function notThere(): LetheError {
  const text = 'the request is on no record any more: somebody removed it';
  return new LetheError('CONTENDED', `${text}. Ask once more`, { retryable: true });
}
