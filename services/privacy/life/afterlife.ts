/** What comes after a request is done: T1 and reclaim, and its certificate, which tells of both. */
import type { Statement } from '../../../libs/audit/dsse.ts';
import type { RequestId } from '../../../libs/base/ids.ts';
import { isLetheError, LetheError } from '../../../libs/base/lethe-error.ts';
import type { Afterlife } from '../../../libs/requests/request.ts';
import type { ReachedT1 } from '../../../libs/vault/turn/epoch-t1.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { isAbout, t1Condition } from './certificate-texts.ts';

/**
 * Notes what was reached, and completes the certificate. The certificate goes first: what is noted
 * is never without it.
 */
async function reach(
  { requests, certificates }: Pick<PrivacyPowers, 'requests' | 'certificates'>,
  id: RequestId,
  reached: { readonly t1AtMs?: number; readonly reclaimedAtMs?: number },
): Promise<void> {
  for (;;) {
    const before = await requests.afterlife(id);
    if (before === undefined) return;
    const all = { ...before, ...reached };
    const problem = await completeIfOurs(certificates, id, all);
    await requests.reach(id, reached);
    // What was reached is so all the same; that its certificate was changed is told once.
    if (problem !== undefined) throw problem;
    const after = await requests.afterlife(id);
    // Another process may have noted the other one meanwhile, and we written over it.
    const isWhole =
      (after?.t1AtMs === null) === (all.t1AtMs === null) &&
      (after?.reclaimedAtMs === null) === (all.reclaimedAtMs === null);
    if (isWhole) return;
  }
}

/** One that somebody changed cannot be completed: it must not keep anything else from its end. */
async function completeIfOurs(
  certificates: PrivacyPowers['certificates'],
  id: RequestId,
  all: Afterlife,
): Promise<LetheError | undefined> {
  try {
    await certificates.complete(id, (issued) => {
      if (isAbout(issued, all)) return completed(issued, all);
      const text = `the certificate under the name of the erasure ${id} is about something else`;
      throw new LetheError('CERTIFICATE_INVALID', text);
    });
    return undefined;
  } catch (error) {
    if (!isLetheError(error, 'CERTIFICATE_INVALID')) throw error;
    const text = `the certificate of the erasure ${id} cannot be completed: ${error.message}`;
    return new LetheError('CERTIFICATE_INVALID', text, { cause: error });
  }
}

/** Does it for each; what fails for one is thrown when all the others were tried. */
export async function reachAll(
  powers: Pick<PrivacyPowers, 'requests' | 'certificates'>,
  of: readonly Afterlife[],
  reached: { readonly t1AtMs?: number; readonly reclaimedAtMs?: number },
): Promise<void> {
  const failures: unknown[] = [];
  for (const { id } of of) await reach(powers, id, reached).catch((error) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

/** Notes a T1 that has come for all that it covers. How many. */
export async function noteT1(
  powers: Pick<PrivacyPowers, 'requests' | 'certificates'>,
  turn: ReachedT1,
): Promise<number> {
  const covered = (await powers.requests.afterlives()).filter(
    (one) =>
      one.t1AtMs === null && one.afterTurn < turn.number && !turn.failedApps.includes(one.app),
  );
  await reachAll(powers, covered, { t1AtMs: turn.t1AtMs });
  return covered.length;
}

/**
 * Completes certificates that were not in their folder when their T1 came: it may have been named
 * wrongly, or moved. How many.
 */
export async function completeLate(
  powers: Pick<PrivacyPowers, 'requests' | 'certificates'>,
): Promise<number> {
  let count = 0;
  for (const id of await powers.requests.toldOf()) {
    const found = await powers.certificates.find(id);
    const t1 = found?.statement.predicate.t1 as { readonly at?: string } | undefined;
    const afterlife = t1?.at === 'pending' ? await powers.requests.afterlife(id) : undefined;
    const t1AtMs = afterlife?.t1AtMs ?? null;
    // One of another erasure under this one's name is told when it is met first.
    if (t1AtMs === null || !isAbout(found!.statement, afterlife!)) continue;
    await reach(powers, id, { t1AtMs });
    count += 1;
  }
  return count;
}

function completed(issued: Statement, { t1AtMs, reclaimedAtMs }: Afterlife): Statement {
  const { predicate } = issued;
  const at = (part: unknown, ms: number | null) => {
    return ms === null ? part : { ...(part as object), at: new Date(ms).toISOString() };
  };
  const condition = t1Condition(predicate.keyStore);
  const t1 = at(predicate.t1, t1AtMs);
  if (t1AtMs !== null) Object.assign(t1 as object, { condition });
  const reclaim = at(predicate.reclaim, reclaimedAtMs);
  return { ...issued, predicate: { ...predicate, t1, reclaim } };
}
