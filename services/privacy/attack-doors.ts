/**
 * The attack by the doors: after T0, every running holder of keys is asked over HTTP for the person
 * and for the pages that their messages were on, as a consumer with a valid key would.
 */
import type { PrivacyPowers } from '../../libs/backends/powers.ts';
import type { AppId } from '../../libs/base/ids.ts';
import type { SealedEvent } from '../../libs/codec/sealed-event.ts';

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

interface Attacker {
  readonly door: string;
  readonly authorization: string;
  readonly app: AppId;
}

const PAGE_SIZE = 100;
const ANSWER_TIMEOUT_MS = 2_000;

/** Asks every door at the same time. */
export async function attackDoors(
  powers: Pick<PrivacyPowers, 'accessKeys' | 'clock' | 'doors'>,
  app: AppId,
  of: { alias: string; events: readonly SealedEvent[] },
): Promise<AttackedDoors> {
  const doors = await powers.doors();
  if (doors.length === 0) return { services: [], notTried: ['running services: there are none'] };
  const authorization = await powers.accessKeys.borrow(app, powers.clock.nowMs());
  if (authorization === undefined) {
    return { services: [], notTried: ['running services: the app has no access key to ask with'] };
  }
  const tried = await Promise.allSettled(
    doors.map((door) => attackDoor({ door, authorization, app }, of)),
  );
  return {
    services: tried.flatMap((one) => (one.status === 'fulfilled' ? one.value : [])),
    notTried: tried.flatMap((one, i) =>
      one.status === 'rejected' ? `${doors[i]}: it did not answer` : [],
    ),
  };
}

async function attackDoor(
  attacker: Attacker,
  { alias, events }: { alias: string; events: readonly SealedEvent[] },
): Promise<AttackedDoor> {
  const posted = events.filter(({ header }) => header.type === 'MessagePosted');
  const conversations = [...new Set(posted.map(({ header }) => header.stream as string))];
  const theirs = new Set(posted.map(({ header }) => header.thing as string));
  let opened = 0;
  const user = await ask(attacker, `users/${alias}`);
  if (user !== undefined) opened += 1;
  for (const conversation of conversations) {
    const path = `conversations/${conversation}/messages?page[size]=${PAGE_SIZE}`;
    const page = (await ask(attacker, path)) as { messages?: AnsweredMessage[] } | undefined;
    const told = page?.messages?.filter((one) => theirs.has(one.id) && one.deleted !== true) ?? [];
    opened += told.length;
  }
  return { door: attacker.door, requests: 1 + conversations.length, opened };
}

interface AnsweredMessage {
  readonly id: string;
  readonly deleted?: boolean;
}

/** The body of a good answer; undefined: it was refused. Throws when there is no answer. */
async function ask({ door, authorization, app }: Attacker, path: string): Promise<unknown> {
  const answer = await fetch(`${door}/v2/apps/${app}/${path}`, {
    headers: { authorization },
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  const body = await answer.text();
  if (answer.status >= 500) throw new Error(`${answer.status}`);
  return answer.ok ? JSON.parse(body) : undefined;
}
