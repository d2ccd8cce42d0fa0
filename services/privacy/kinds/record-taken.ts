/** Notes on the list of erasures that requests have taken what they take. */
import { type AppId, NO_ID, type RequestId } from '../../../libs/base/ids.ts';
import { randomId } from '../../../libs/base/random.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';

/**
 * From then on no row of theirs that somebody writes back makes them seem refused. Throws what the
 * list throws.
 */
export async function recordTaken(
  { erasures, randomness, clock }: Pick<PrivacyPowers, 'erasures' | 'randomness' | 'clock'>,
  requests: readonly RequestId[],
): Promise<void> {
  if (requests.length === 0) return;
  const own = { id: randomId<RequestId>(randomness), app: NO_ID as AppId, atMs: clock.nowMs() };
  await erasures.add([{ ...own, kind: 'taken', target: { requests } }]);
}
