/** Forgets an attachment: a leaf of its own, so that its message stays. */
import type { EventHeader } from '../../../libs/codec/sealed-event.ts';
import { ownersOfMessage, sharedLeaf, shredLeaf } from './find-thing.ts';
import type { Kind } from './kind.ts';

export const forgetAttachment: Kind<'forget-attachment'> = {
  approvals: 0,
  takesFrom: (run) => ({ owners: () => ownersOfMessage(run, run.request.target.message) }),
  refusal: ({ powers, request }) => sharedLeaf(powers.views, request.target),
  certificate: null,
  shred(run, as) {
    const { place, attachment: thing } = run.request.target;
    return shredLeaf(run, { place, thing }, as);
  },
  stalePages: ({ conversation }) => ({ conversation }),
  finish: async () => undefined,
  lostEvents: { by: 'target' },
  matcher: async (_powers, _app, { message }) => {
    return ({ thing }: EventHeader) => thing === message;
  },
};
