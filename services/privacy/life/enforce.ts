/**
 * What the list of erasures says is gone stays gone. Who writes old rows of the vault back, while
 * the keys that wrap them are still there, is noticed. What is there again is taken once more.
 * Until then its words can be read; no T1 is told before this look.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AnyId, AppId, RequestId } from '../../../libs/base/ids.ts';
import { isLetheError, LetheError } from '../../../libs/base/lethe-error.ts';
import { isDamage, passOverDamage } from '../../../libs/keyring/past-damage.ts';
import {
  type ListedErasure,
  type ListedRequest,
  releasedHolds,
  revokedOf,
  standing,
  takenOf,
} from '../../../libs/requests/erasure-list.ts';
import type { PrivacyRequest } from '../../../libs/requests/request.ts';
import { LIST_START } from '../../../libs/vault/keys/list-heads.ts';
import type { TakenRing } from '../../../libs/vault/taking/row-judge.ts';
import type { PrivacyPowers } from '../../../libs/wiring/powers.ts';
import type { Asked } from '../kinds/kind.ts';
import { kindOf } from '../kinds/kinds.ts';
import { carryOut } from './carry-out.ts';
import { isRequest, isThereAgain, takenBy } from './look-again.ts';

// Rows that are read one by one, rather than all at once.
const MANY = 100;
/** How long it may take from the entry that requests have taken to the record of their end. */
const ENDING_MS = 2_000;

/**
 * The list, if it is this store's and nothing of it is missing that is known to have been on it.
 * Throws CONFIGURATION_INVALID, ERASURES_TAMPERED.
 */
export async function readWhole({ erasures, requests }: PrivacyPowers): Promise<ListedErasure[]> {
  await erasures.assertOwn();
  const listed = await erasures.read();
  const ids = new Set<string>(listed.map(({ id }) => id));
  // Whoever cut its end off may have put back what the vault knows of it.
  const missing = (await requests.afterlives()).find(({ id, t1AtMs }) => {
    return t1AtMs === null && !ids.has(id);
  });
  if (missing === undefined) return listed;
  const text = `LETHE_ERASURES: the entry of ${missing.id} is missing: put the newest copy there`;
  throw new LetheError('ERASURES_TAMPERED', text);
}

/** By the list, what was taken of which no T1 was told: the vault's own marks lie in clear. */
export async function takenUncovered(powers: PrivacyPowers): Promise<TakenRing[]> {
  const told = await powers.requests.toldOf();
  const uncovered: TakenRing[] = [];
  const listed = await readWhole(powers);
  const hasTaken = takenOf(listed);
  for (const one of standing(listed)) {
    if (told.has(one.id)) continue;
    const { app, target } = one;
    const { subject, place, conversation } = target as Partial<Record<string, AnyId>>;
    const named = [subject, place, conversation].filter((each) => each !== undefined);
    for (const id of named.length === 0 ? [app] : named) uncovered.push({ app, id });
    if (!isRequest(one)) continue;
    // By the list, or by a record that is signed: what may have been refused has taken nothing.
    if (!hasTaken.has(one.id) && (await recordOf(powers, one)) !== 'ended') continue;
    uncovered.push(...(await takenBy(powers, one)));
  }
  return uncovered;
}

/** A request of the list that is to be carried out once more. */
export interface Undone {
  readonly request: ListedRequest;
  /** Its end is on record, but something of it is there; or that record is gone. */
  readonly why: 'isThere' | 'noRecord';
  /** `restored`: it has taken before. `uncertain`: it may have been refused then. */
  readonly as: Asked;
}

/** Requests of the list that are not as they were left when they were carried out. */
export async function findUndone(
  powers: PrivacyPowers,
  listed: readonly ListedErasure[],
  hasTaken: ReadonlySet<RequestId> = takenOf(listed),
): Promise<Undone[]> {
  const undone: Undone[] = [];
  const ending: ListedRequest[] = [];
  for (const request of standing(listed)) {
    if (!isRequest(request)) continue;
    const record = await recordOf(powers, request);
    // The entry that it was refused may have been cut off.
    const as = hasTaken.has(request.id) ? 'restored' : 'uncertain';
    if (record === 'none') undone.push({ request, why: 'noRecord', as });
    if (record === 'underWay' && hasTaken.has(request.id)) ending.push(request);
    if (record !== 'ended' || !(await isThereAgain(powers, request))) continue;
    undone.push({ request, why: 'isThere', as: 'restored' });
  }
  // Between the entry that it has taken and the record of its end there is a moment. Rows that are
  // open after that were written back.
  if (ending.length > 0) await sleep(ENDING_MS);
  for (const request of ending) {
    if ((await recordOf(powers, request)) === 'ended') continue;
    undone.push({ request, why: 'noRecord', as: 'restored' });
  }
  return undone;
}

/** What was found undone. */
export interface Enforced {
  /** How many requests. */
  readonly found: number;
  /** How many of them could not be carried out again. */
  readonly failed: number;
  /** Apps of which some could not be carried out again. */
  readonly untaken: ReadonlySet<AppId>;
}

/**
 * Takes once more what is there again. What was found; `onUndone` is told of each, and of each
 * that cannot be taken. Throws what the engines throw.
 */
export async function enforceErasures(
  powers: PrivacyPowers,
  onUndone: (error: LetheError) => void,
): Promise<Enforced> {
  const listed = await readWhole(powers);
  const known = { listed, hasTaken: takenOf(listed), released: releasedHolds(listed) };
  return enforce(powers, known, { onUndone, toldGone: new Set() });
}

/**
 * The same for a process that looks often: of what waits for T1 alone, as older rows are under keys
 * that are gone; the list is read once.
 */
export function watchErasures(
  powers: PrivacyPowers,
  onUndone: (error: LetheError) => void,
): () => Promise<Enforced> {
  const { erasures, requests } = powers;
  let last = LIST_START;
  let watched: ListedErasure[] = [];
  const toldGone = new Set<string>();
  let released = new Set<string>();
  let hasTaken = new Set<RequestId>();
  const withdrawn = new Set<RequestId>();
  return async () => {
    await erasures.assertOwn();
    const added = await erasures.read(last);
    last = (await erasures.at(last.number + added.length)) ?? last;
    // At first, the whole list.
    const told = added.length > MANY ? await requests.toldOf() : new Set<RequestId>();
    const isTold = async (id: RequestId) => {
      const t1AtMs = (await requests.afterlife(id))?.t1AtMs;
      return t1AtMs !== undefined && t1AtMs !== null;
    };
    released = released.union(releasedHolds(added));
    const taken = takenOf(added);
    for (const { id, kind } of added) if (kind === 'withdrawn') withdrawn.add(id);
    const kept: ListedErasure[] = [];
    for (const one of standing([...watched, ...added])) {
      if (isRequest(one) && withdrawn.has(one.id) && !taken.has(one.id)) continue;
      if (one.kind === 'hold' && released.has(one.target.hold)) continue;
      if (!isRequest(one)) kept.push(one);
      else if (!told.has(one.id) && !(await isTold(one.id))) kept.push(one);
    }
    watched = kept;
    const ids = new Set(watched.map(({ id }) => id));
    hasTaken = hasTaken.union(taken).intersection(ids);
    return enforce(powers, { listed: watched, hasTaken, released }, { onUndone, toldGone });
  };
}

/** What is known of the list of erasures, or of what of it is looked at. */
interface KnownList {
  readonly listed: readonly ListedErasure[];
  readonly hasTaken: ReadonlySet<RequestId>;
  readonly released: ReadonlySet<string>;
}

/** Who is told of what; of a hold that cannot be put back, once. */
interface Listener {
  readonly onUndone: (error: LetheError) => void;
  readonly toldGone: Set<string>;
}

async function enforce(
  powers: PrivacyPowers,
  known: KnownList,
  listener: Listener,
): Promise<Enforced> {
  const { listed, hasTaken } = known;
  const { onUndone } = listener;
  await enforceRevocations(powers, listed, onUndone);
  await enforceHolds(powers, known, listener);
  await enforceFences(powers, known, onUndone);
  const undone = await findUndone(powers, listed, hasTaken);
  for (const one of undone) onUndone(new LetheError('VAULT_TAMPERED', undoneText(one)));
  const those = (as: Asked) => undone.filter((one) => one.as === as).map(({ request }) => request);
  // What a turn carried over meanwhile is covered by the next one, also where the taking fails.
  const recount = async () => {
    const afterTurn = await powers.newestTurn();
    for (const { request } of undone) await powers.requests.recount(request.id, afterTurn);
  };
  await recount();
  const untaken = new Set<AppId>();
  let failed = 0;
  for (const as of ['restored', 'uncertain'] as const) {
    for (const { app, error } of await takeAgain(powers, those(as), as)) {
      // One whose rows are damaged, or kept as they were, waits for its T1, and nobody else does.
      if (!isDamage(error) && !isLetheError(error, 'CONTENDED')) throw error;
      onUndone(error);
      untaken.add(app);
      failed += 1;
    }
  }
  await recount();
  return { found: undone.length, failed, untaken };
}

function undoneText({ request: { id, app, kind }, why }: Undone): string {
  const what = {
    isThere: 'something of it was there again, as old rows had been written back',
    noRecord:
      'there was no record that it had ended: rows had been removed or written back, or a ' +
      'process was killed at that very moment',
  }[why];
  const advice = 'It is carried out once more. Look at who can write vault and state';
  return `${kind} ${id} of the app ${app}: ${what}. ${advice}`;
}

/** An access key that was revoked takes nobody in again: neither its row nor what opens it. */
async function enforceRevocations(
  { accessKeys, accessKeyStore, apps, clock }: PrivacyPowers,
  listed: readonly ListedErasure[],
  onUndone: (error: LetheError) => void,
): Promise<void> {
  for (const one of listed) {
    if (one.kind !== 'revoke-key') continue;
    const key = revokedOf(one);
    const row = await accessKeyStore.find(key.id);
    const isLive = row !== undefined && row.revokedAtMs === null;
    const isOpen = await passOverDamage(async () => {
      const isOfNobody = key.app !== null && (await apps.find(key.app)) === undefined;
      return !isOfNobody && (await accessKeys.isOpen(key));
    });
    if (!isLive && isOpen !== true) continue;
    const outcome = await orKept(() => accessKeys.revoke(key, clock.nowMs()));
    // Rows whose time is set far ahead stay as they are, and say nothing.
    const isLiveStill = (await accessKeyStore.find(key.id))?.revokedAtMs === null;
    const isRevoked = outcome !== 'kept' && !isLiveStill;
    const text = `the access key ${key.id} had been revoked, and old rows of it were written back`;
    const what = isRevoked ? 'It was revoked once more' : `It ${KEPT}, and may be taken`;
    onUndone(new LetheError('VAULT_TAMPERED', `${text}. ${what}`));
  }
}

const KEPT = 'could not be put right, as its rows are kept as they are';

/** Puts one thing right. `kept`: its rows do not give way, which keeps nobody else waiting. */
async function orKept<Result>(put: () => Promise<Result>): Promise<Result | 'kept'> {
  try {
    return (await passOverDamage(put)) ?? 'kept';
  } catch (error) {
    if (isLetheError(error, 'CONTENDED')) return 'kept';
    throw error;
  }
}

/** A hold that nobody has released stays. What does not open is passed over, as by `askKind`. */
async function enforceHolds(
  powers: PrivacyPowers,
  { listed, released }: KnownList,
  { onUndone, toldGone }: Listener,
): Promise<void> {
  for (const one of standing(listed)) {
    if (one.kind !== 'hold' || released.has(one.target.hold)) continue;
    const { hold } = one.target;
    const outcome = (await passOverDamage(() => putBack(powers, one))) ?? 'there';
    if (outcome === 'there' || outcome === 'absent') continue;
    if (outcome !== 'held') {
      if (toldGone.has(hold)) continue;
      toldGone.add(hold);
    }
    const text = `the hold ${hold} of the app ${one.app} was gone, as old rows were written back`;
    onUndone(new LetheError('VAULT_TAMPERED', `${text}. ${HOLD_OUTCOMES[outcome]}`));
  }
}

const HOLD_OUTCOMES = {
  held: 'It was put back',
  erased: 'Who it was on has been erased',
  kept: `It ${KEPT}`,
} as const;

/** Where a ring is a fence, somebody may remove it: who reads its events would meet damage. */
async function enforceFences(
  { keyringShred }: PrivacyPowers,
  { listed, hasTaken }: KnownList,
  onUndone: (error: LetheError) => void,
): Promise<void> {
  for (const one of standing(listed)) {
    if (!isRequest(one) || !hasTaken.has(one.id)) continue;
    const refs = kindOf(one.kind).fences?.(one.app, one.target as never) ?? [];
    const fenced = await orKept(() => keyringShred.mendFences(refs, one.loss));
    if (fenced !== 'kept' && fenced.length === 0) continue;
    const what = fenced === 'kept' ? `They ${KEPT}` : 'They were put back';
    const whose = `${one.kind} ${one.id} of the app ${one.app}`;
    const text = `fences of ${whose} had been removed or changed`;
    onUndone(new LetheError('VAULT_TAMPERED', `${text}. ${what}`));
  }
}

/** Puts a hold back that is not there. */
async function putBack(
  { apps, keyringHold }: PrivacyPowers,
  { app, target: { subject, hold } }: Extract<ListedErasure, { kind: 'hold' }>,
) {
  if ((await apps.find(app)) === undefined) return 'there';
  const isHeld = async () => (await keyringHold.areHeld(app, [subject]))[0] === true;
  if (await isHeld()) return 'there';
  const outcome = await orKept(() => keyringHold.hold(app, subject, hold));
  return outcome === 'held' && !(await isHeld()) ? 'kept' : outcome;
}

/** One that could not be carried out again, and why. */
export interface Untaken {
  readonly app: AppId;
  readonly error: unknown;
}

/** Carries requests of the list out again, as a restore does. What failed, but for a hold. */
export async function takeAgain(
  powers: PrivacyPowers,
  listed: readonly ListedRequest[],
  as: Asked = 'restored',
): Promise<Untaken[]> {
  if (listed.length === 0) return [];
  const nowMs = powers.clock.nowMs();
  const requests = listed.map(({ id, loss, app, kind, target }) => {
    const times = { receivedAtMs: nowMs, changedAtMs: nowMs };
    // Never as one that nobody has begun: of those nobody asks whether they have taken.
    return { id, loss, app, kind, target, step: 'begun', ...times } as PrivacyRequest;
  });
  for (const request of requests) await powers.requests.add(request);
  const carried = await carryOut(powers, requests, as);
  return carried.flatMap((one, i) => {
    if (!('failure' in one) || isLetheError(one.failure, 'HELD')) return [];
    return [{ app: requests[i]!.app, error: one.failure }];
  });
}

/** What is known of a request of the list: its afterlife counts before any row of it. */
async function recordOf(
  { requests }: PrivacyPowers,
  { id }: ListedErasure,
): Promise<'ended' | 'underWay' | 'none'> {
  if ((await requests.afterlife(id)) !== undefined) return 'ended';
  const request = await requests.get(id);
  return request === undefined || request.step === 'done' ? 'none' : 'underWay';
}
