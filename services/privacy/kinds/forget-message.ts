/** Forgets a message with its edits and everybody's reactions: one leaf of its place's tree. */
import type { EventHeader } from '../../../libs/codec/sealed-event.ts';
import { ownersOfMessage, shredLeaf } from './find-thing.ts';
import type { Kind } from './kind.ts';
import { recordFact } from './record-loss.ts';
import { readConversation } from './run.ts';

export const forgetMessage: Kind<'forget-message'> = {
  approvals: 0,
  takesFrom: (run) => ({ owners: () => ownersOfMessage(run, run.request.target.message) }),
  certificate: null,
  async shred(run, as) {
    const { conversation, message, place } = run.request.target;
    // A channel's removal names no place: it is that of the conversation.
    const at = place ?? (await readConversation(run, conversation))?.value.messagePlace;
    if (at !== undefined) await shredLeaf(run, { place: at, thing: message }, as);
  },
  stalePages: ({ conversation }) => ({ conversation }),
  async finish(run) {
    const { conversation, message } = run.request.target;
    await recordFact(run, 'MessageForgotten', { conversation, message });
  },
  lostEvents: { by: 'target' },
  // Without a place it was that of then: the conversation may have another one by now.
  canBeUndone: ({ place }) => place !== undefined,
  matcher: async (_powers, _app, { message }) => {
    return ({ thing }: EventHeader) => thing === message;
  },
};
