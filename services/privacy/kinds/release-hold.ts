/** Ends a legal hold; what was kept for it alone goes with it. */
import { type Kind, matchesNothing } from './kind.ts';

export const releaseHold: Kind<'release-hold'> = {
  approvals: 0,
  // Another hold does not keep this one from ending.
  takesFrom: () => 'nobody',
  certificate: null,
  shred({ app, powers, request }) {
    const { subject, hold } = request.target;
    return powers.keyringHold.release(app.id, subject, hold);
  },
  // What a hold kept was lost to everybody else before.
  stalePages: () => 'none',
  finish: async () => undefined,
  lostEvents: { by: 'fence' },
  holdEnded: ({ hold }) => hold,
  // What it kept lies in a row that has its mark.
  async isThereAgain({ app, powers, request }) {
    const { subject, hold } = request.target;
    return powers.keyringHold.hasMark(app.id, subject, hold);
  },
  matcher: matchesNothing,
};
