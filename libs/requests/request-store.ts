/**
 * The requests that take something away, with the step each has reached. A step is recorded before
 * it is done and can be repeated, so that a request resumes after a crash. A request names its
 * target by random ids only, and forgets it when it is done. What is done has an afterlife: T1, and
 * the day its events leave the log.
 *
 * Requests and afterlives carry codes under a key of the store. Who can write the tables, but has
 * no key, makes no request, changes none, and has no T1 told that has not come. Who reads them is
 * not led from the id that is told of a request to the one in its fences.
 *
 * Failures of every method: those of RequestTable and of StoreMac.
 */
import type { LossId, RequestId } from '../base/ids.ts';
import { again, retryContended } from '../base/retry.ts';
import { labels } from '../codec/labels.ts';
import { isSameMac, type StoreMac } from '../keyring/store-mac.ts';
import type {
  Afterlife,
  DoneRequest,
  Nothing,
  OpenStep,
  PrivacyRequest,
  Signed,
} from './request.ts';
import { isOpen } from './request-rows.ts';
import type { RequestTable } from './request-table.ts';

/** Requests and their afterlives, each durable when its call resolves. */
export interface RequestStore {
  /** Records a request, durably. */
  add(request: PrivacyRequest | DoneRequest): Promise<void>;
  /** What is written of a request by who commits it together with something else. */
  sign(request: PrivacyRequest): Promise<Signed<PrivacyRequest>>;
  /** Undefined: there is none that carries its code. */
  get(id: RequestId): Promise<PrivacyRequest | DoneRequest | undefined>;
  /**
   * Requests that are not done, oldest first. Those that do not carry their code are told apart:
   * nobody who may has made them.
   */
  open(limit: number): Promise<OpenRequest[]>;
  /**
   * Records the step that is about to be done. A request that is done stays done: a slower worker
   * on it changes nothing. False: it is not there, because it was refused meanwhile.
   */
  record(request: PrivacyRequest, step: OpenStep, nowMs: number): Promise<boolean>;
  /**
   * Ends a request: its target is forgotten and its afterlife begins, with the target if that is
   * needed to know its events by. Can be repeated.
   */
  finish(
    request: PrivacyRequest,
    ended: {
      readonly nowMs: number;
      readonly keepsTarget: boolean;
      /** The newest turn that has begun, read when everything of the request was written. */
      readonly afterTurn: number;
    },
  ): Promise<void>;
  /** Removes a request that was refused: nothing of it was done. */
  drop(id: RequestId): Promise<void>;
  /** All that wait for T1 or for their reclaim and carry their code, in no promised order. */
  afterlives(): Promise<Afterlife[]>;
  /** Undefined: there is none that carries its code. */
  afterlife(id: RequestId): Promise<Afterlife | undefined>;
  /** Notes what was reached; what was noted before stays. */
  reach(id: RequestId, reached: { t1AtMs?: number; reclaimedAtMs?: number }): Promise<void>;
  /** Puts the time of an end earlier: it was noted by a clock that was ahead. */
  endedBy(id: RequestId, atMs: number): Promise<void>;
  /** Of those that carry their code, the ones whose T1 was told. */
  toldOf(): Promise<Set<RequestId>>;
  /** It was carried out once more: a later turn than this one covers it, and no T1 has come. */
  recount(id: RequestId, afterTurn: number): Promise<void>;
  /** Ids of rows that wait and do not carry their code: somebody without the key wrote them. */
  forged(): Promise<RequestId[]>;
  /** Signs anew what carries codes of another store, which this one was restored from. */
  takeOver(from: StoreMac): Promise<void>;
}

/** An open request, and whether somebody without the key has written it. */
export type OpenRequest = PrivacyRequest & { readonly isForged: boolean };

const OPEN_MAX = 10_000;

/** Opens it over its rows. */
export function createRequestStore(table: RequestTable, mac: StoreMac): RequestStore {
  const codes = createCodes(mac);
  const afterlives = createAfterlives(table, codes);

  async function open(limit: number): Promise<OpenRequest[]> {
    const found: OpenRequest[] = [];
    for (const row of await table.open(limit)) {
      const { code: _, ...request } = row;
      found.push({ ...request, isForged: !(await codes.isOurs(row, requestFields(row))) });
    }
    return found;
  }

  return {
    ...afterlives,
    add: async (request) => table.add(await codes.request(request)),
    sign: (request) => codes.request(request),
    async get(id) {
      const row = await table.get(id);
      if (row === undefined || !(await codes.isOurs(row, requestFields(row)))) return undefined;
      const { code: _, ...request } = row;
      return request;
    },
    open,
    record: async (request, step, nowMs) =>
      table.record(await codes.request({ ...request, step, changedAtMs: nowMs })),
    async finish(request, { nowMs, keepsTarget, afterTurn }) {
      const { id, loss, app, kind, receivedAtMs } = request;
      const nothing: Nothing = {};
      const ended = { id, app, kind, target: nothing, receivedAtMs };
      const done = await codes.request<DoneRequest>({ ...ended, step: 'done', changedAtMs: nowMs });
      const target = keepsTarget ? request.target : nothing;
      const waits = { doneAtMs: nowMs, afterTurn, t1AtMs: null, reclaimedAtMs: null };
      const begun = await codes.afterlife({ id, loss, app, kind, target, ...waits } as Afterlife);
      // One that somebody has changed says nothing, and keeps the place.
      const there = await table.afterlife(id);
      const isForged = there !== undefined && (await afterlives.afterlife(id)) === undefined;
      if (isForged) await table.replaceAfterlife(there, begun);
      await table.finish(done, begun);
    },
    drop: (id) => table.drop(id),
    async forged() {
      const requests = await open(OPEN_MAX);
      const ids = requests.filter(({ isForged }) => isForged).map(({ id }) => id);
      for (const row of await table.afterlives()) {
        if ((await codes.authentic(row)) === undefined) ids.push(row.id);
      }
      return ids;
    },
    async takeOver(from) {
      const theirs = createCodes(from);
      for await (const row of table.all()) {
        if (!(await theirs.isOurs(row, requestFields(row)))) continue;
        await table.recode(row.id, (await codes.request(row)).code);
      }
      for await (const row of table.allAfterlives()) {
        const afterlife = await theirs.authentic(row);
        if (afterlife !== undefined)
          await table.replaceAfterlife(row, await codes.afterlife(afterlife));
      }
    },
  };
}

/** What makes codes and looks at them. */
function createCodes(mac: StoreMac) {
  return {
    isOurs: async ({ code }: { code: string }, of: SignedFields) =>
      isSameMac(code, await mac.mac(...of)),
    request: async <Kind extends PrivacyRequest | DoneRequest>(request: Kind) => {
      return { ...request, code: await mac.mac(...requestFields(request)) };
    },
    /** An afterlife as it is kept. */
    afterlife: async (afterlife: Afterlife): Promise<Signed<Afterlife>> => {
      const code = await mac.mac(...afterlifeFields(afterlife));
      return { ...afterlife, loss: await masked(afterlife), code };
    },
    /** Undefined: it does not carry its code. */
    async authentic({ code, ...row }: Signed<Afterlife>): Promise<Afterlife | undefined> {
      const afterlife = { ...row, loss: await masked(row) };
      const own = await mac.mac(...afterlifeFields(afterlife));
      return isSameMac(code, own) ? afterlife : undefined;
    },
  };

  /** The id in the fences under a mask of the request's own; the same again takes the mask off. */
  async function masked({ id, loss }: Pick<Afterlife, 'id' | 'loss'>): Promise<LossId | null> {
    if (loss === null) return null;
    const mask = Buffer.from(await mac.mac(labels.lossMask, [id]), 'hex');
    const bytes = Buffer.from(loss, 'hex').map((byte, i) => byte ^ mask[i]!);
    return Buffer.from(bytes).toString('hex') as LossId;
  }
}

type Afterlives = Pick<
  RequestStore,
  'afterlives' | 'afterlife' | 'reach' | 'endedBy' | 'toldOf' | 'recount'
>;

function createAfterlives(table: RequestTable, codes: ReturnType<typeof createCodes>): Afterlives {
  const authentic = async (row: Signed<Afterlife> | undefined) => row && codes.authentic(row);

  /** Changes an afterlife, by whoever is first at each time. */
  function change(id: RequestId, how: (one: Afterlife) => Afterlife): Promise<void> {
    return retryContended(async () => {
      const read = await table.afterlife(id);
      const before = await authentic(read);
      if (before === undefined) return;
      const next = await codes.afterlife(how(before));
      if (next.code === read!.code || (await table.replaceAfterlife(read!, next))) return;
      return again;
    });
  }

  return {
    async afterlives() {
      const found: Afterlife[] = [];
      for (const row of await table.afterlives()) {
        const afterlife = await authentic(row);
        if (afterlife !== undefined) found.push(afterlife);
      }
      return found;
    },
    afterlife: async (id) => authentic(await table.afterlife(id)),
    reach: (id, { t1AtMs, reclaimedAtMs }) =>
      change(id, (one) => {
        const reached = {
          t1AtMs: one.t1AtMs ?? t1AtMs ?? null,
          reclaimedAtMs: one.reclaimedAtMs ?? reclaimedAtMs ?? null,
        };
        const { target, loss } = reclaimedAtMs === undefined ? one : { target: {}, loss: null };
        return { ...one, ...reached, target, loss } as Afterlife;
      }),
    endedBy: (id, atMs) =>
      change(id, (one) => ({ ...one, doneAtMs: Math.min(one.doneAtMs, atMs) })),
    async toldOf() {
      const told = new Set<RequestId>();
      for await (const row of table.allAfterlives()) {
        if (row.t1AtMs !== null && (await authentic(row)) !== undefined) told.add(row.id);
      }
      return told;
    },
    recount: (id, afterTurn) => change(id, (one) => ({ ...one, afterTurn, t1AtMs: null })),
  };
}

type SignedFields = readonly [label: Uint8Array, fields: readonly string[]];

function requestFields(request: PrivacyRequest | DoneRequest): SignedFields {
  const { id, app, kind, target, step, receivedAtMs, changedAtMs } = request;
  const loss = isOpen(request) ? request.loss : '';
  const all = [id, loss, app, kind, JSON.stringify(target), step, receivedAtMs, changedAtMs];
  return [labels.request, all.map(String)];
}

function afterlifeFields(afterlife: Afterlife): SignedFields {
  const { id, loss, app, kind, target, doneAtMs, afterTurn, t1AtMs, reclaimedAtMs } = afterlife;
  const times = [loss, doneAtMs, afterTurn, t1AtMs, reclaimedAtMs];
  const all = [id, app, kind, JSON.stringify(target), ...times];
  return [labels.afterlife, all.map(String)];
}
