/** Forgets a message with its edits and everybody's reactions: one leaf of its place's tree. */
import type { EventHeader } from '../../../libs/codec/sealed-event.ts';
import { ownersOfMessage, sharedLeaf, shredLeaf } from './find-thing.ts';
import type { Kind } from './kind.ts';
import { recordFact } from './record-loss.ts';

export const forgetMessage: Kind<'forget-message'> = {
  approvals: 0,
  takesFrom: (run) => ({ owners: () => ownersOfMessage(run, run.request.target.message) }),
  refusal: ({ powers, request }) => sharedLeaf(powers.views, request.target),
  certificate: null,
  shred(run, as) {
    const { place, message: thing } = run.request.target;
    return shredLeaf(run, { place, thing }, as);
  },
  stalePages: ({ conversation }) => ({ conversation }),
  async finish(run) {
    const { conversation, message } = run.request.target;
    await recordFact(run, 'MessageForgotten', { conversation, message });
  },
  lostEvents: { by: 'target' },
  matcher: async (_powers, _app, { message }) => {
    return ({ thing }: EventHeader) => thing === message;
  },
};
