/**
 * What a request has taken, looked at once more in the vault itself: its kind is asked what it
 * takes, with powers that only look. Nothing is believed of what a write has answered.
 */
import type { AnyId } from '../../../libs/base/ids.ts';
import { passOverDamage } from '../../../libs/keyring/past-damage.ts';
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

/** Is it a request? Rows that somebody writes back can undo those of every kind. */
export function isRequest<One extends { readonly kind: string; readonly target: unknown }>(
  one: One,
): one is One & AskedAbout {
  return isKnownKind(one.kind);
}

/** A ring that a request takes, or what it takes out of one. */
type AskedFor = readonly [ref: RingRef, taken: readonly Taken[] | 'all'];

/** What a request that was carried out has taken, as far as it can be told. */
export async function takenBy(powers: PrivacyPowers, one: AskedAbout): Promise<TakenRing[]> {
  const { app, kind, target } = one;
  const { lostEvents, ringsEnded, holdEnded } = kindOf(kind);
  const ended = lostEvents.by === 'app' ? [app] : (ringsEnded?.(target as never) ?? []);
  const taken: TakenRing[] = ended.map((id) => ({ app, id, taken: 'all' }));
  const hold = holdEnded?.(target as never);
  if (hold !== undefined) taken.push({ app, id: hold, taken: { hold } });
  for (const [ring, parts] of await askKind(powers, one)) {
    taken.push({ app, id: ring.id as AnyId, taken: parts === 'all' ? parts : { ring, parts } });
  }
  return taken;
}

/** Can something that requests of the list have taken be opened? Which requests. */
export async function findOpening(
  powers: PrivacyPowers,
  listed: readonly ListedErasure[],
): Promise<ListedRequest[]> {
  const opening: ListedRequest[] = [];
  for (const one of standing(listed).filter(isRequest)) {
    if (await opensStill(powers, one)) opening.push(one);
  }
  return opening;
}

/** Is something that a request has taken there again? */
export async function isThereAgain(powers: PrivacyPowers, one: AskedAbout): Promise<boolean> {
  return (await opensStill(powers, one)) || (await isEntryThere(powers, one));
}

/** Does a key open something of what a request takes? Rows that do not open are passed over. */
export async function opensStill(powers: PrivacyPowers, one: AskedAbout): Promise<boolean> {
  // Together: each is a round trip on servers, and T0 waits for all.
  const isTaken = (await askKind(powers, one)).map(([ref, parts]) =>
    passOverDamage(() => powers.keyringShred.isTaken(ref, parts)),
  );
  return (await Promise.all(isTaken)).includes(false);
}

/** Is an entry there that a request takes away, beside rings? */
export async function isEntryThere(powers: PrivacyPowers, one: AskedAbout): Promise<boolean> {
  const isThere = await passOverDamage(async () => {
    const run = await runOf(powers, one);
    return run && kindOf(one.kind).isThereAgain?.(run);
  });
  return isThere ?? false;
}

/** Asks the kind itself what it takes, with powers that only look; as far as rows open. */
async function askKind(powers: PrivacyPowers, one: AskedAbout): Promise<AskedFor[]> {
  const asked: AskedFor[] = [];
  const looking: PrivacyPowers = {
    ...powers,
    keyringShred: {
      ...powers.keyringShred,
      shred: async (refs) => {
        for (const ref of refs) asked.push([ref, 'all']);
      },
      puncture: async (ref, taken) => {
        asked.push([ref, taken]);
        return 'done';
      },
    },
    keyringHold: {
      ...powers.keyringHold,
      release: async () => undefined,
      async merge(id, { survivor }) {
        const ref = { app: id, kind: ringKinds.owner, id: survivor };
        return powers.keyring.use([ref], async ([ring]) => {
          return typeof ring === 'object' ? 'merged' : ring!;
        });
      },
    },
    directoryShred: {
      ...powers.directoryShred,
      async replacePlace({ id }, { place }) {
        asked.push([{ app: id, kind: ringKinds.place, id: place }, 'all']);
        return 'done';
      },
    },
  };
  await passOverDamage(async () => {
    const run = await runOf(looking, one);
    if (run !== undefined) await kindOf(one.kind).shred(run, 'restored');
  });
  return asked;
}

/** Undefined: the app was erased. */
async function runOf(powers: PrivacyPowers, one: AskedAbout): Promise<Run | undefined> {
  const app = await powers.apps.find(one.app);
  const times = { receivedAtMs: 0, changedAtMs: 0 };
  const request = { ...one, ...times, step: 'received' } as PrivacyRequest;
  return app && { powers, app, request, step: async () => undefined };
}
