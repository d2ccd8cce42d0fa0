/** Clears a conversation: all its messages; it can be written to again, in a new place. */

import { isDamage } from '../../../libs/keyring/past-damage.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import { ownersOfConversation } from './conversation.ts';
import type { Kind } from './kind.ts';
import { recordFact } from './record-loss.ts';

export const clearConversation: Kind<'clear-conversation'> = {
  approvals: 0,
  takesFrom: (run) => ({
    owners: () => ownersOfConversation(run, run.request.target.conversation),
  }),
  certificate: null,
  async shred({ app, powers, request }) {
    const { conversation, place } = request.target;
    const cleared = { of: conversation, kind: 'messages' as const, place };
    await powers.directoryShred.replacePlace(app, cleared, request.loss).catch(async (error) => {
      // Where the conversation's entry is damaged its messages go all the same.
      if (!isDamage(error)) throw error;
      const ref = { app: app.id, kind: ringKinds.place, id: place };
      await powers.keyringShred.shred([ref], request.loss);
      throw error;
    });
  },
  stalePages: ({ conversation }) => ({ conversation }),
  async finish(run) {
    const { conversation } = run.request.target;
    await recordFact(run, 'ConversationCleared', { conversation });
  },
  lostEvents: { by: 'fence' },
  ringsEnded: ({ place }) => [place],
  fences: (app, { place }) => [{ app, kind: ringKinds.place, id: place }],
  async matcher({ directory }, app, { conversation }) {
    const [entry] = await directory.conversations(app, [conversation]);
    const place = typeof entry === 'object' ? entry.value.messagePlace : undefined;
    return (header) => header.place === place;
  },
};
