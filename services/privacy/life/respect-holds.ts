/** What refuses a request is looked at after it is recorded, and before anything goes. */
import type { SubjectId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { lastPositions, waitForViews } from '../../../libs/projection/views-behind.ts';
import { holdOf, standing } from '../../../libs/requests/erasure-list.ts';
import { held } from '../../../libs/vault/taking/shred-rows.ts';
import type { Asked, Kind } from '../kinds/kind.ts';
import { kindOf } from '../kinds/kinds.ts';
import type { Run } from '../kinds/run.ts';

const VIEWS_TIMEOUT_MS = 10_000;

/** Throws HELD when its kind refuses what was asked for, unless that was carried out before. */
export async function respectRefusal(run: Run, as: Asked): Promise<void> {
  const { request } = run;
  const kind: Kind<typeof request.kind> = kindOf(request.kind);
  if (as !== 'asked' || !(request.step === 'received' || request.step === 'begun')) return;
  const reason = await kind.refusal?.(run);
  if (reason !== undefined) throw new LetheError('HELD', reason);
}

/**
 * Throws HELD when there is a hold on somebody whose words this would take. Days of a whole app are
 * taken all the same: who is held receives what opens their own of them. What has begun to take is
 * finished: a hold that came later waits for it. Throws CONTENDED: the views are behind the log.
 */
export async function respectHolds(run: Run, as: Asked): Promise<void> {
  const { app, request, powers } = run;
  const { keyringHold } = powers;
  const kind: Kind<typeof request.kind> = kindOf(request.kind);
  const from = kind.takesFrom(run);
  const areDays = typeof from === 'object' && 'days' in from;
  if (as === 'restored' && !areDays) return;
  const heldSubjects = await keyringHold.heldSubjects(app.id);
  if (heldSubjects.length === 0) return;
  if (areDays) {
    // Days that went before a hold was made do not come back for it.
    const then = as === 'asked' ? undefined : await heldBefore(run);
    const kept = heldSubjects.filter((one) => then?.has(one) ?? true);
    for (const one of kept) await keyringHold.keepDays(app.id, one, from.days);
    return;
  }
  const hasBegunToTake = request.step !== 'received' && request.step !== 'begun';
  if (hasBegunToTake || from === 'nobody') return;
  if (from === 'everybody') throw held();
  // Whose a message is, and who reacted to it, is judged by what is on the log by now.
  const positions = await lastPositions(powers.log);
  if (!(await waitForViews(powers, positions, VIEWS_TIMEOUT_MS))) {
    const text =
      'somebody is held, and the views are behind the log: tried again when they are not';
    throw new LetheError('CONTENDED', text, { retryable: true });
  }
  const areHeld = await keyringHold.areHeld(app.id, await from.owners());
  if (areHeld.includes(true)) throw held();
}

/** On whom there was a hold when a request came on the list of erasures. */
async function heldBefore({ app, powers, request }: Run): Promise<Set<SubjectId>> {
  const listed = standing(await powers.erasures.read());
  const at = listed.findIndex(({ id }) => id === request.id);
  const holds = new Map<string, SubjectId>();
  for (const one of listed.slice(0, at < 0 ? listed.length : at)) {
    if (one.app !== app.id) continue;
    if (one.kind === 'hold') holds.set(one.target.hold, one.target.subject);
    else holds.delete(holdOf(one) ?? '');
  }
  const held = new Set<SubjectId>();
  for (const subject of holds.values()) {
    for (const one of await powers.keyringHold.mergedWith(app.id, subject)) held.add(one);
  }
  return held;
}
