/** Two people turn out to be one: whoever erases or holds either does so to both. */
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import { type Kind, matchesNothing } from './kind.ts';
import { finishPerson, shredPerson } from './person.ts';
import type { Run } from './run.ts';

export const mergeSubjects: Kind<'merge-subjects'> = {
  approvals: 0,
  // Two who become one share their holds.
  takesFrom: () => 'nobody',
  certificate: null,
  shred: merge,
  stalePages: ({ subject }) => ({ subject }),
  finish,
  lostEvents: { by: 'fence' },
  isThereAgain: areTwo,
  matcher: matchesNothing,
};

/** When the other was erased first, this one, who turned out to be them, goes too. */
async function merge(run: Run<'merge-subjects'>): Promise<void> {
  const { subject: discarded, other: survivor } = run.request.target;
  const { keyringHold } = run.powers;
  const pair = { discarded, survivor };
  const outcome = await keyringHold.merge(run.app.id, pair, run.request.loss);
  if (outcome === 'erased') await shredPerson(run);
}

/** Their names go too when their ring went with the other's. */
async function finish(run: Run<'merge-subjects'>): Promise<void> {
  const ref = { app: run.app.id, kind: ringKinds.owner, id: run.request.target.subject };
  const isGone = await run.powers.keyring.use([ref], async ([ring]) => ring === 'erased');
  if (isGone) await finishPerson(run);
}

/** Are they two people, both of whom live? Who lives beside one that was erased opens something. */
async function areTwo({ powers, app, request }: Run<'merge-subjects'>): Promise<boolean> {
  const { subject, other } = request.target;
  const refs = [subject, other].map((id) => ({ app: app.id, kind: ringKinds.owner, id }));
  const doLive = await powers.keyring.use(refs, async (rings) => {
    return rings.every((ring) => typeof ring === 'object');
  });
  return doLive && !(await powers.keyringHold.mergedWith(app.id, subject)).includes(other);
}
