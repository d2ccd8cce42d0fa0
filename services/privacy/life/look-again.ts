/**
 * What a request has taken, looked at once more in the vault itself: its kind is asked what it
 * takes, with powers that only look. Nothing is believed of what a write has answered.
 */
import type { AnyId } from '../../../libs/base/ids.ts';
import { isDamage } from '../../../libs/keyring/past-damage.ts';
import type { RingRef } from '../../../libs/keyring/ring.ts';
import type { Taken } from '../../../libs/keyring/ring-material.ts';
import {
  type ListedErasure,
  type ListedRequest,
  standing,
} from '../../../libs/requests/erasure-list.ts';
import type { PrivacyRequest } from '../../../libs/requests/request.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import type { TakenRing } from '../../../libs/vault/taking/row-judge.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import { isKnownKind, kindOf } from '../kinds/kinds.ts';
import type { Run } from '../kinds/run.ts';

/** What names the request that is asked about. */
export type AskedAbout = Pick<PrivacyRequest, 'id' | 'loss' | 'app' | 'kind' | 'target'>;

/** Is it a request, and one that rows which somebody writes back can undo? */
export function isTaking<One extends { readonly kind: string; readonly target: unknown }>(
  one: One,
): one is One & AskedAbout {
  return isKnownKind(one.kind) && kindOf(one.kind).canBeUndone(one.target as never);
}

/** What a request that was carried out has taken, as far as it can be told. */
export async function takenBy(powers: PrivacyPowers, one: AskedAbout): Promise<TakenRing[]> {
  const { app, kind, target } = one;
  const { lostEvents, ringsEnded, holdEnded } = kindOf(kind);
  const ended = lostEvents.by === 'app' ? [app] : (ringsEnded?.(target as never) ?? []);
  const taken: TakenRing[] = ended.map((id) => ({ app, id, taken: 'all' }));
  const hold = holdEnded?.(target as never);
  if (hold !== undefined) taken.push({ app, id: hold, taken: { hold } });
  await askKind(powers, one, async (ref, parts) => {
    const of = parts === 'all' ? parts : { ring: ref, parts };
    taken.push({ app, id: ref.id as AnyId, taken: of });
  });
  return taken;
}

/** Can something that requests of the list have taken be opened? Which requests. */
export async function findOpening(
  powers: PrivacyPowers,
  listed: readonly ListedErasure[],
): Promise<ListedRequest[]> {
  const opening: ListedRequest[] = [];
  for (const one of standing(listed).filter(isTaking)) {
    if ((await lookAgain(powers, one)).opens) opening.push(one);
  }
  return opening;
}

/** Is something that a request has taken there again? */
export async function isThereAgain(powers: PrivacyPowers, one: AskedAbout): Promise<boolean> {
  const { opens, isEntryThere } = await lookAgain(powers, one);
  return opens || isEntryThere;
}

/** Of what a request has taken: does a key open it, and is an entry there that was taken away? */
export async function lookAgain(powers: PrivacyPowers, one: AskedAbout) {
  const asked: (readonly [RingRef, readonly Taken[] | 'all'])[] = [];
  const isEntryThere = await askKind(powers, one, async (...about) => void asked.push(about));
  // Together: each is a round trip on servers, and T0 waits for all.
  const isTaken = asked.map(([ref, parts]) =>
    passOverDamage(() => powers.keyringShred.isTaken(ref, parts)),
  );
  return { opens: (await Promise.all(isTaken)).includes(false), isEntryThere };
}

/**
 * Asks the kind itself what it takes, with powers that only look. Is an entry there that it would
 * have taken away? Rows that do not open are passed over.
 */
async function askKind(
  powers: PrivacyPowers,
  one: AskedAbout,
  look: (ref: RingRef, taken: readonly Taken[] | 'all') => Promise<void>,
): Promise<boolean> {
  const looking: PrivacyPowers = {
    ...powers,
    keyringShred: {
      ...powers.keyringShred,
      shred: async (refs) => {
        for (const ref of refs) await look(ref, 'all');
      },
      puncture: async (ref, taken) => {
        await look(ref, taken);
        return 'done';
      },
    },
    keyringHold: { ...powers.keyringHold, release: async () => undefined },
    directoryShred: {
      ...powers.directoryShred,
      async replacePlace({ id }, { place }) {
        await look({ app: id, kind: ringKinds.place, id: place }, 'all');
        return 'done';
      },
    },
  };
  const times = { receivedAtMs: 0, changedAtMs: 0 };
  const request = { ...one, ...times, step: 'received' } as PrivacyRequest;
  const isThere = await passOverDamage(async () => {
    const app = await powers.apps.find(one.app);
    if (app === undefined) return false;
    const run: Run = { powers: looking, app, request, step: async () => undefined };
    const kind = kindOf(request.kind);
    await kind.shred(run, 'restored');
    return kind.isThereAgain?.(run);
  });
  return isThere ?? false;
}

/** Undefined: rows are damaged, which are named where all rows are looked at. */
export async function passOverDamage<Result>(
  look: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await look();
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}
