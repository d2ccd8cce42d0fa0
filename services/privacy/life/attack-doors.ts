/**
 * The attack by the doors: after T0, every running holder of keys is asked over HTTP, as a consumer
 * with a valid key would ask. It is asked for the person, and for the pages that their messages
 * were on.
 */

import type { AppId } from '../../../libs/base/ids.ts';
import type { SealedEvent } from '../../../libs/codec/sealed-event.ts';
import type { PassedHolder } from '../../../libs/keyring/holder-wait.ts';
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

interface Newest {
  readonly conversations?: readonly { readonly id: string }[];
}

/** A door that tells neither way. */
class NoAnswer extends Error {}

interface Attacker {
  readonly door: string;
  readonly authorization: string;
  readonly app: AppId;
}

const PAGE_SIZE = 100;
const PAGES_MAX = 10;
const ANSWER_TIMEOUT_MS = 2_000;

/** Asks every holder that acknowledged T0, at the same time. */
export async function attackDoors(
  powers: Pick<PrivacyPowers, 'accessKeys' | 'clock'>,
  app: AppId,
  asked: Asked & { readonly holders: readonly PassedHolder[] },
): Promise<AttackedDoors> {
  const withDoor = asked.holders.flatMap(({ door, how }) => (door === null ? [] : { door, how }));
  // One that did not acknowledge may be gone, and somebody else be where it was.
  const silent = withDoor.filter(({ how }) => how !== 'acknowledged').map(({ door }) => door);
  const doors = withDoor.filter(({ how }) => how === 'acknowledged').map(({ door }) => door);
  const passedOver = silent.map((door) => `${door}: it did not acknowledge the loss`);
  if (doors.length === 0) {
    return { services: [], notTried: ['running services: none to be asked', ...passedOver] };
  }
  const authorization = await powers.accessKeys.borrow(app, powers.clock.nowMs());
  if (authorization === undefined) {
    return { services: [], notTried: ['running services: the app has no access key to ask with'] };
  }
  const tried = await Promise.allSettled(
    doors.map((door) => attackDoor({ door, authorization, app }, asked)),
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
        one.status === 'rejected' ? `${doors[i]}: ${(one.reason as NoAnswer).message}` : [],
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
  // What must be answered: a refusal of everything would pass for an erasure.
  const newest = (await ask(attacker, 'conversations?page[size]=10')) as Newest | undefined;
  if (newest === undefined) return { door, requests: 1, opened: 0 };
  const posted = events.filter(({ header }) => header.type === 'MessagePosted');
  const theirs = new Set(posted.map(({ header }) => header.thing as string));
  const conversations = new Set(posted.map(({ header }) => header.stream as string));
  if (isWholeApp) for (const { id } of newest.conversations ?? []) conversations.add(id);
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
async function ask({ door, authorization, app }: Attacker, path: string): Promise<unknown> {
  let answer: Response;
  let body: string;
  try {
    answer = await fetch(`${door}/v2/apps/${app}/${path}`, {
      headers: { authorization },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    body = await answer.text();
  } catch {
    throw new NoAnswer('it did not answer');
  }
  if (answer.ok) return JSON.parse(body);
  if (answer.status === 404) return undefined;
  throw new NoAnswer(`it answered ${answer.status}, which tells nothing`);
}
