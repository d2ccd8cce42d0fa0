/** Erases a person: rings, names, personal conversations; and whoever was merged with them. */
import type { AppId, SubjectId } from '../../../libs/base/ids.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import { capturePerson } from './capture.ts';
import type { Kind } from './kind.ts';
import { finishPerson, shredPerson } from './person.ts';
import { readSubject } from './run.ts';

export const eraseSubject: Kind<'erase-subject'> = {
  approvals: 0,
  takesFrom: ({ app, powers, request }) => ({
    owners: () => powers.keyringHold.mergedWith(app.id, request.target.subject),
  }),
  certificate: {
    commitment: 'SHA-256(salt ‖ user id); the salt is in the answer to the request alone',
    capture: capturePerson,
  },
  shred: shredPerson,
  stalePages: ({ subject }) => ({ subject }),
  finish: finishPerson,
  lostEvents: { by: 'fence' },
  ringsEnded: ({ subject, merged = [] }) => [subject, ...merged],
  fences: (app, { subject, merged = [] }) => [subject, ...merged].map((id) => ownerRing(app, id)),
  async isThereAgain(run) {
    return (await readSubject(run, run.request.target.subject)) !== undefined;
  },
  async matcher({ directory }, app, { subject }: { subject: SubjectId }) {
    const [entry] = await directory.subjects(app, [subject]);
    const own = new Set<string>(entry?.value.conversations ?? []);
    return ({ owner, stream }) => owner === subject || own.has(stream);
  },
};

const ownerRing = (app: AppId, id: SubjectId) => ({ app, kind: ringKinds.owner, id });
