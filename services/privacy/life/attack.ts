/** The attack on an erasure before it is called verified: what was captured must open nothing. */
import type { AppId } from '../../../libs/base/ids.ts';
import { LetheError } from '../../../libs/base/lethe-error.ts';
import type { PassedHolders } from '../../../libs/keyring/holder-wait.ts';
import { openEvents } from '../../../libs/keyring/open-events.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { Captures } from '../kinds/capture.ts';
import { type AttackedDoor, attackDoors } from './attack-doors.ts';

/** What was tried after T0, and what came out. */
export interface AttackReport {
  /** Sealed events through the vault's own code with today's KMS: `opened` must be 0. */
  readonly events: { readonly tried: number; readonly opened: number };
  /** Every running holder of keys, asked over HTTP: `opened` must be 0 at each. */
  readonly services: readonly AttackedDoor[];
  /** Captured wrapped rings with today's KMS: they open until the next turn ends that (T1). */
  readonly rings: {
    readonly tried: number;
    readonly segments: number;
    readonly openUntilT1: number;
  };
  readonly notTried: readonly string[];
}

/**
 * Tries what was captured. Throws ERASURE_UNVERIFIED when one event opens: then the erasure stays
 * open, and whoever asked is told.
 */
export async function attack(
  powers: Pick<PrivacyPowers, 'keyring' | 'sealer' | 'attacks' | 'clock'>,
  app: AppId,
  attacked: { readonly captures: Captures; readonly passed: PassedHolders },
): Promise<AttackReport> {
  const { captures, passed } = attacked;
  const contents = await openEvents(powers, captures.events);
  const opened = contents.filter((content) => content !== undefined);
  for (const content of opened) content.fill(0);
  if (opened.length > 0) {
    const text = `${opened.length} of ${contents.length} captured events open after T0`;
    throw new LetheError('ERASURE_UNVERIFIED', text);
  }
  const { services, notTried } = await attackDoors(powers, app, {
    ...captures,
    isWholeApp: captures.user === null,
    passed,
  });
  const leaking = services.filter((one) => one.opened > 0).map((one) => one.door);
  if (leaking.length > 0) {
    const text = `after T0, ${leaking.join(', ')} still hands out what was erased`;
    throw new LetheError('ERASURE_UNVERIFIED', text);
  }
  return {
    services,
    events: { tried: contents.length, opened: 0 },
    rings: {
      tried: captures.rings.count,
      segments: captures.rings.segmentCount,
      openUntilT1: await captures.rings.countOpening(),
    },
    notTried: [
      ...(captures.rings.count === 0
        ? ['wrapped rings: none could be captured before the fence']
        : []),
      ...(captures.isWhole
        ? []
        : ['further events of theirs: a part was captured, under keys of the same rings']),
      ...notTried,
      ...(captures.user === null
        ? []
        : ['what they said of messages elsewhere, if anything: under keys of the same rings']),
      'answers that were given before: they are with whoever asked',
      'log, views and backups that lie elsewhere: their events are under the keys that were tried',
    ],
  };
}
