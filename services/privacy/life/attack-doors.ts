/**
 * The attack by the doors: after T0, every running holder of keys is asked over HTTP, by the routes
 * that consumers use. It is asked for the person, and for the pages that their messages were on.
 * Each question has a credential of its own, which opens nothing else.
 */

import { ANSWER_HEADER } from '../../../libs/access/attack-credentials.ts';
import type { AppId } from '../../../libs/base/ids.ts';
import type { SealedEvent } from '../../../libs/codec/sealed-event.ts';
import type { PassedHolders } from '../../../libs/keyring/holder-wait.ts';
import { isSameMac } from '../../../libs/keyring/store-mac.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';

/** What one running service answered. */
export interface AttackedDoor {
  readonly door: string;
  readonly requests: number;
  /** Answers that held the person or one of their messages: must be 0. */
  readonly opened: number;
}

/** What was tried at the doors, and what could not be. */
export interface AttackedDoors {
  readonly services: readonly AttackedDoor[];
  readonly notTried: readonly string[];
}

/** What must not be told. */
interface Asked {
  /** The user id of somebody who is gone; null: of nobody. */
  readonly user: string | null;
  readonly events: readonly SealedEvent[];
  /** All of the app is gone: every message that is told is one too many. */
  readonly isWholeApp: boolean;
}

/** A door that tells neither way. */
class NoAnswer extends Error {}

type AttackPowers = Pick<PrivacyPowers, 'attacks' | 'clock'>;

interface Attacker {
  readonly powers: AttackPowers;
  readonly door: string;
  readonly holder: string;
  readonly app: AppId;
}

const PAGE_SIZE = 100;
const ROSTER_LOST =
  'holders that the roster did not name, as it was damaged or changed from outside: the longest ' +
  'lease was waited out instead';
const PAGES_MAX = 10;
const ANSWER_TIMEOUT_MS = 2_000;

/** Asks every holder that acknowledged T0, at the same time. */
export async function attackDoors(
  powers: AttackPowers,
  app: AppId,
  asked: Asked & { readonly passed: PassedHolders },
): Promise<AttackedDoors> {
  const { holders, isRosterLost } = asked.passed;
  const forged = holders.filter(({ isForged }) => isForged);
  const withDoor = holders.flatMap((one) => (one.door === null ? [] : { ...one, door: one.door }));
  // One that did not acknowledge may be gone, and somebody else be where it was.
  const silent = withDoor.filter(({ how }) => how !== 'acknowledged').map(({ door }) => door);
  const asking = withDoor.filter(({ how }) => how === 'acknowledged');
  const passedOver = [
    ...silent.map((door) => `${door}: it did not acknowledge the loss`),
    ...forged.map(({ holder }) => `holder ${holder}: its row was changed from outside`),
    ...(isRosterLost ? [ROSTER_LOST] : []),
  ];
  if (asking.length === 0) {
    return { services: [], notTried: ['running services: none to be asked', ...passedOver] };
  }
  const tried = await Promise.allSettled(
    asking.map(({ door, holder }) => attackDoor({ powers, door, holder, app }, asked)),
  );
  for (const one of tried) {
    // What is no answer is told; a defect of the attack itself must not pass for one.
    if (one.status === 'rejected' && !(one.reason instanceof NoAnswer)) throw one.reason;
  }
  return {
    services: tried.flatMap((one) => (one.status === 'fulfilled' ? one.value : [])),
    notTried: [
      ...passedOver,
      ...tried.flatMap((one, i) =>
        one.status === 'rejected' ? `${asking[i]!.door}: ${(one.reason as NoAnswer).message}` : [],
      ),
    ],
  };
}

/** A door that does not read (of ingest alone, of privacy alone) is asked that one question. */
async function attackDoor(
  attacker: Attacker,
  { user, events, isWholeApp }: Asked,
): Promise<AttackedDoor> {
  const { door } = attacker;
  // What must be answered, though it tells of nobody: a refusal of everything would pass for an
  // erasure. Of an erased app nothing can be answered, and its refusals are signed all the same.
  const canReadOthers = (await ask(attacker, 'canary')) !== undefined;
  if (!canReadOthers && !isWholeApp) return { door, requests: 1, opened: 0 };
  const posted = events.filter(({ header }) => header.type === 'MessagePosted');
  const theirs = new Set(posted.map(({ header }) => header.thing as string));
  const conversations = new Set(posted.map(({ header }) => header.stream as string));
  const isTheirs = (id: string) => isWholeApp || theirs.has(id);
  let requests = 1;
  let opened = 0;
  if (user !== null) {
    requests += 1;
    if ((await ask(attacker, `users/${user}`)) !== undefined) opened += 1;
  }
  for (const conversation of conversations) {
    for await (const page of pagesOf(attacker, conversation)) {
      requests += 1;
      opened += page.filter((one) => isTheirs(one.id) && one.deleted !== true).length;
    }
  }
  return { door, requests, opened };
}

/** The newest pages of a conversation, as far back as messages were captured. */
async function* pagesOf(attacker: Attacker, conversation: string): AsyncGenerator<Answered[]> {
  let before = '';
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const path = `conversations/${conversation}/messages?page[size]=${PAGE_SIZE}${before}`;
    const answer = (await ask(attacker, path)) as Page | undefined;
    yield answer?.messages ?? [];
    if (answer?.meta?.hasMore !== true || answer.meta.beforeCursor === undefined) return;
    before = `&page[before]=${answer.meta.beforeCursor}`;
  }
}

interface Page {
  readonly messages?: Answered[];
  readonly meta?: { readonly hasMore?: boolean; readonly beforeCursor?: string };
}

interface Answered {
  readonly id: string;
  readonly deleted?: boolean;
}

/** The body of a good answer; undefined: nothing is there. Throws when it is no answer. */
async function ask({ powers, door, holder, app }: Attacker, what: string): Promise<unknown> {
  const path = `/v2/apps/${app}/${what}`;
  const nowMs = powers.clock.nowMs();
  const { authorization, nonce } = await powers.attacks.issue({ app, holder, path }, nowMs);
  let answer: Response;
  let body: string;
  try {
    answer = await fetch(door + path, {
      headers: { authorization },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    body = await answer.text();
  } catch {
    throw new NoAnswer('it did not answer');
  }
  const code = await powers.attacks.answerCode(nonce, answer.status, body);
  // Somebody between, or in its place, tells what they like: only a holder's answer counts.
  if (!isSameMac(code, answer.headers.get(ANSWER_HEADER) ?? '')) {
    const unsigned = `its answer (${answer.status}) is not signed by a holder of keys`;
    throw new NoAnswer(
      answer.status === 404 ? `${unsigned}: it may have no door to read by` : unsigned,
    );
  }
  if (answer.ok) return JSON.parse(body);
  if (answer.status === 404) return undefined;
  throw new NoAnswer(`it answered ${answer.status}, which tells nothing`);
}
