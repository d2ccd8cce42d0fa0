/**
 * Carries out requests in two halves: first key material goes, then, when no running process can
 * use it any more (T0), everything else. Every step is recorded before it is done, is durable when
 * it ends and can be repeated, so that a request that was interrupted anywhere is finished by
 * running it again.
 */

import type { ConversationId, SubjectId } from '../../libs/base/ids.ts';
import { isLetheError } from '../../libs/base/lethe-error.ts';
import { tally } from '../../libs/base/tally.ts';
import type { LossRecorded } from '../../libs/conversation/event-types.ts';
import { inSpan } from '../../libs/engines/tracing.ts';
import type { PassedHolders } from '../../libs/keyring/keyring.ts';
import type { PrivacyRequest } from '../../libs/requests/request-store.ts';
import { ringKinds } from '../../libs/sealing/tree-path.ts';
import { rowKinds } from '../../libs/vault/rows/vault-store.ts';
import { held } from '../../libs/vault/taking/shred-rows.ts';
import type { PrivacyPowers } from '../../libs/wiring/powers.ts';
import { type AttackReport, attack, type Captures, capture } from './attack.ts';
import { type Certified, certify } from './certificate.ts';
import { endForsakenGroup, lossOf, removeConversation } from './end-group.ts';
import { purgePages } from './purge-pages.ts';
import { type LossType, recordLoss } from './record-loss.ts';
import { personalConversations, type Run, readConversation, readSubject } from './request-run.ts';
import { respectHolds } from './respect-holds.ts';
import { shredOf, shredSubject } from './shred-steps.ts';

/** What came of one request: how T0 was reached, or why it stays open. */
export type Carried = Done | { readonly failure: unknown };

export interface Done {
  readonly t0: PassedHolders;
  /** Of the erasure of a person or an app. */
  readonly attack?: AttackReport;
  readonly certificate?: Certified;
}

/**
 * Carries requests out to their end; they share the wait for T0. `restored`: they were carried out
 * before, when nothing held them.
 */
export async function carryOut(
  powers: PrivacyPowers,
  requests: readonly PrivacyRequest[],
  as: 'asked' | 'restored' = 'asked',
): Promise<Carried[]> {
  const failures = new Map<PrivacyRequest, unknown>();
  const attempt = async (request: PrivacyRequest, work: (run: Run) => Promise<void>) => {
    if (failures.has(request)) return;
    try {
      const run = await openRun(powers, request);
      if (run !== undefined) await work(run);
    } catch (error) {
      failures.set(request, error);
    }
  };
  for (const request of requests) await attempt(request, (run) => respectHolds(run, as));
  // Before anything goes: a restore must know of it even if this process ends here.
  const listed = requests.filter((request) => !failures.has(request));
  const atMs = powers.clock.nowMs();
  await powers.erasures.add(
    listed.map(({ id, app, kind, target }) => ({ id, app, kind, target, atMs })),
  );
  const captures = new Map<PrivacyRequest, Captures>();
  const fencedAtMs = performance.now();
  for (const request of requests) {
    await attempt(request, async (run) => {
      const captured = await capture(run);
      if (captured !== undefined) captures.set(request, captured);
      await shredOf(run, as);
    });
  }
  await endRefused(powers, failures, new Set(listed));
  const t0 = await inSpan('pass holders', {}, () => powers.keyring.passHolders());
  for (const tell of tally.t0Listeners) tell(performance.now() - fencedAtMs);
  const done = new Map<PrivacyRequest, Done>();
  for (const request of requests) {
    await attempt(request, async (run) => {
      done.set(request, { t0, ...(await verify(run, { t0, captured: captures.get(request) })) });
    });
    await attempt(request, purgePages);
    await attempt(request, finishOf);
    if (failures.has(request)) continue;
    // An app that was erased took everything in it along.
    if (request.kind === 'erase-app') await finishApp(powers, request);
    await powers.requests.record(request.id, 'done', powers.clock.nowMs());
  }
  return requests.map((request) =>
    failures.has(request) ? { failure: failures.get(request) } : (done.get(request) ?? { t0 }),
  );
}

/** A request that met a hold is over: nothing of it was done. */
async function endRefused(
  { requests, erasures, clock }: PrivacyPowers,
  failures: ReadonlyMap<PrivacyRequest, unknown>,
  listed: ReadonlySet<PrivacyRequest>,
): Promise<void> {
  for (const [request, error] of failures) {
    if (!isLetheError(error, 'HELD')) continue;
    const { id, app } = request;
    const withdrawn = { id, app, kind: 'withdrawn' as const, target: {}, atMs: clock.nowMs() };
    if (listed.has(request)) await erasures.add([withdrawn]);
    await requests.drop(id);
  }
}

/** Nothing is finished, nor certified, before what was captured was tried and failed. */
async function verify(
  { powers, request }: Run,
  given: { t0: PassedHolders; captured: Captures | undefined },
): Promise<Omit<Done, 't0'>> {
  const { captured, t0 } = given;
  if (captured === undefined) return {};
  const report = await attack(powers, request.app, {
    captures: captured,
    holders: t0.holders,
  });
  const { name } = captured;
  const certificate = await certify(powers, request, { name, passed: t0, attack: report });
  return { attack: report, certificate };
}

async function openRun(powers: PrivacyPowers, request: PrivacyRequest): Promise<Run | undefined> {
  const { requests, clock, apps } = powers;
  const step = async (name: string) => {
    // Another worker has met a hold and ended it: nothing more may go.
    if (!(await requests.record(request.id, name, clock.nowMs()))) throw held();
  };
  const app = await apps.find(request.app);
  return app && { powers, app, request, step };
}

/** Tells consumers and takes the names away. */
async function finishOf(run: Run): Promise<void> {
  await run.step('finish');
  const { request } = run;
  const { conversation, message } = request.target;
  switch (request.kind) {
    case 'erase-subject':
      return finishSubject(run);
    case 'merge-subjects':
      return finishMerge(run);
    case 'clear-profile':
      return finishProfile(run);
    case 'forget-message': {
      const content = { conversation: conversation!, message: message! };
      return record(run, 'MessageForgotten', content);
    }
    case 'clear-conversation':
      return record(run, 'ConversationCleared', { conversation: conversation! });
    case 'delete-conversation':
      return finishConversation(run);
    case 'forget-days':
      return finishDays(run);
    // Its message stays as it is, and an app's own facts went with it.
    case 'forget-attachment':
    case 'release-hold':
    case 'erase-app':
      return;
  }
}

async function record(run: Run, type: LossType, content: Partial<LossRecorded>): Promise<void> {
  await recordLoss(run.powers, run.app, { id: run.request.id, type, content });
}

/** Whoever was merged with the person goes too; the person's own row goes last. */
async function finishSubject(run: Run): Promise<void> {
  const { app, powers, request } = run;
  const all = await powers.keyring.mergedWith(app.id, request.target.subject as SubjectId);
  for (const id of all.reverse()) await finishPerson(run, id);
}

/** Their names go too when their ring went with the other's. */
async function finishMerge(run: Run): Promise<void> {
  const subject = run.request.target.subject as SubjectId;
  const ref = { app: run.app.id, kind: ringKinds.owner, id: subject };
  const isGone = await run.powers.keyring.use([ref], async ([ring]) => ring === 'erased');
  if (isGone) await finishSubject(run);
}

/**
 * A person's own row leads to all else and goes last: as long as it is there, every step can be
 * repeated; when it is gone, all was done.
 */
async function finishPerson(run: Run, id: SubjectId): Promise<void> {
  const { powers, app, request } = run;
  const { directory } = powers;
  const [subject] = await directory.subjects(app.id, [id]);
  if (subject === undefined) return;
  const { value } = subject;
  const fact = id === request.target.subject ? request.id : lossOf(request.id, id);
  const content = { user: value.alias };
  await recordLoss(powers, app, { id: fact, type: 'SubjectErased', content });
  for (const group of value.groups) await endForsakenGroup(run, group);
  const names = value.identities.map(({ row }) => ({ kind: rowKinds.identity, id: row }));
  await directory.removeReferences(app, names, id);
  for (const one of await personalConversations(run, subject)) await removeConversation(run, one);
  const alias = (await directory.names(app.id)).alias(value.alias);
  await directory.mark(app, { kind: rowKinds.alias, id: alias }, request.id);
  if (await directory.removeSubject(subject)) return;
  // A conversation that was made meanwhile is in a newer row: then all is done once more.
  await shredSubject(run);
  await powers.keyring.passHolders();
  await finishPerson(run, id);
}

async function finishProfile(run: Run): Promise<void> {
  const subject = await readSubject(run);
  if (subject !== undefined) await record(run, 'ProfileCleared', { user: subject.value.alias });
}

async function finishDays(run: Run): Promise<void> {
  const { fromDay, toDay, subject } = run.request.target;
  const days = { fromDay: fromDay!, toDay: toDay! };
  if (subject === undefined) return record(run, 'DaysForgotten', days);
  const person = await readSubject(run);
  if (person === undefined) return;
  await record(run, 'DaysForgotten', { user: person.value.alias, ...days });
}

async function finishConversation(run: Run): Promise<void> {
  const conversation = run.request.target.conversation as ConversationId;
  await record(run, 'ConversationDeleted', { conversation });
  const entry = await readConversation(run);
  if (entry !== undefined) await removeConversation(run, entry);
}

async function finishApp(powers: PrivacyPowers, { app, id }: PrivacyRequest): Promise<void> {
  await powers.accessKeyStore.removeAll(app);
  await powers.directory.removeAppRoot(app, id);
  await powers.keyring.passHolders();
}
