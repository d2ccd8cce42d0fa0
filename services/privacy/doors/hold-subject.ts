/** Puts a legal hold on a person, and grants it when it is certain to have been seen. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AppId,
  type HoldId,
  idToBucket,
  type RequestId,
  type SubjectId,
} from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import { randomIdInBucket } from '../../../libs/base/random.ts';
import { holdOf, type ListedErasure } from '../../../libs/requests/erasure-list.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { isKnownKind } from '../kinds/kinds.ts';

const LOOK_INTERVAL_MS = 20;
const GRANT_TIMEOUT_MS = 30_000;

/** A hold, or why there is none. */
export type HoldOutcome =
  | { readonly status: 'held'; readonly hold: HoldId }
  | { readonly status: 'erased' }
  | { readonly status: 'notFound' };

/**
 * Writes a hold first, and grants it when everything that was under way in the app by then has
 * ended: that either finished before the hold, or has seen it. Throws CONTENDED when something does
 * not end; the hold stays written, and is asked for again by the id that the error names.
 */
export async function holdSubject(
  powers: PrivacyPowers,
  app: AppId,
  asked: { readonly subject: SubjectId; readonly hold: HoldId | undefined },
): Promise<HoldOutcome> {
  const { subject } = asked;
  if (asked.hold !== undefined) await assertUnused(powers, asked.hold, subject);
  const hold = asked.hold ?? randomIdInBucket<HoldId>(powers.randomness, idToBucket(subject));
  const outcome = await powers.keyringHold.hold(app, subject, hold);
  if (outcome !== 'held') return { status: outcome === 'erased' ? 'erased' : 'notFound' };
  const listed = { id: hold as string as RequestId, app, atMs: powers.clock.nowMs() };
  await powers.erasures.add([{ ...listed, kind: 'hold', target: { subject, hold } }]);
  await waitForRunning(powers, app, hold);
  // What ended meanwhile may have been the erasure of the app, or of the person.
  const isThere = (await powers.apps.find(app)) !== undefined;
  const [isHeld] = isThere ? await powers.keyringHold.areHeld(app, [subject]) : [false];
  if (isHeld) return { status: 'held', hold };
  await powers.erasures.add([{ ...listed, kind: 'withdrawn', target: {} }]);
  return { status: 'erased' };
}

/** The id of a hold is asked for again as long as it was not granted, and for nobody else. */
async function assertUnused(
  { erasures }: PrivacyPowers,
  hold: HoldId,
  subject: SubjectId,
): Promise<void> {
  const isOther = (one: ListedErasure) =>
    holdOf(one) === hold && (one.kind !== 'hold' || one.target.subject !== subject);
  if (!(await erasures.read()).some(isOther)) return;
  const text = `the hold ${hold} was released, or is on somebody else: make a new one`;
  throw new LetheError('INPUT_INVALID', text);
}

async function waitForRunning(
  { requests, clock, leaseMs }: PrivacyPowers,
  app: AppId,
  hold: HoldId,
): Promise<void> {
  const open = await requests.open(Number.MAX_SAFE_INTEGER);
  const deadlineMs = clock.monotonicMs() + GRANT_TIMEOUT_MS + leaseMs;
  for (const { id, kind } of open.filter((one) => one.app === app)) {
    const what = isKnownKind(kind) ? 'privacy request' : `request of the unknown kind ${kind}`;
    for (;;) {
      const request = await requests.get(id);
      if (request === undefined || request.step === 'done') break;
      if (clock.monotonicMs() > deadlineMs) {
        const text =
          `a ${what} that began before does not end: hold ${hold} is written, ` +
          'ask for it again by this id';
        throw new LetheError('CONTENDED', text, { retryable: true });
      }
      await sleep(LOOK_INTERVAL_MS);
    }
  }
}
