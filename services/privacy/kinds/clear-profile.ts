/** Clears a person's profile: names, e-mail, picture, metadata. Identities and words stay. */
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import type { Kind } from './kind.ts';
import { recordFact } from './record-loss.ts';
import { readSubject } from './run.ts';

export const clearProfile: Kind<'clear-profile'> = {
  approvals: 0,
  takesFrom: ({ app, powers, request }) => ({
    owners: () => powers.keyringHold.mergedWith(app.id, request.target.subject),
  }),
  certificate: null,
  async shred({ app, powers, request }) {
    const { subject, place } = request.target;
    const cleared = { of: subject, kind: 'profile' as const, place };
    await powers.directoryShred.replacePlace(app, cleared, request.loss);
  },
  // A profile lies in no page.
  stalePages: () => 'none',
  async finish(run) {
    const subject = await readSubject(run, run.request.target.subject);
    if (subject === undefined) return;
    await recordFact(run, 'ProfileCleared', { user: subject.value.alias });
  },
  lostEvents: { by: 'fence' },
  ringsEnded: ({ place }) => [place],
  fences: (app, { place }) => [{ app, kind: ringKinds.place, id: place }],
  async matcher({ directory }, app, { subject }) {
    const [entry] = await directory.subjects(app, [subject]);
    return ({ place }) => place === entry?.value.profilePlace;
  },
};
