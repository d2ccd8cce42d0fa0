/** Deletes a conversation: messages, title, a group's own words, and the names that lead to it. */
import type { RingRef } from '../../../libs/keyring/ring.ts';
import { ringKinds } from '../../../libs/sealing/tree-path.ts';
import { ownersOfConversation } from './conversation.ts';
import type { Kind } from './kind.ts';
import { recordFact } from './record-loss.ts';
import { type Run, readConversation } from './run.ts';

export const deleteConversation: Kind<'delete-conversation'> = {
  approvals: 0,
  takesFrom: (run) => ({
    owners: () => ownersOfConversation(run, run.request.target.conversation),
  }),
  certificate: null,
  shred,
  stalePages: ({ conversation }) => ({ conversation }),
  async finish(run) {
    const { conversation } = run.request.target;
    await recordFact(run, 'ConversationDeleted', { conversation });
    const entry = await readConversation(run, conversation);
    if (entry === undefined) return;
    await run.powers.directoryShred.removeConversation(run.app, entry);
  },
  lostEvents: { by: 'fence' },
  ringsEnded: ({ conversation, places = [] }) => [conversation, ...places],
  matcher: async (_powers, _app, { conversation }) => {
    return ({ stream }) => stream === conversation;
  },
};

async function shred(run: Run<'delete-conversation'>): Promise<void> {
  const { powers, app, request } = run;
  const { conversation, places = [] } = request.target;
  const ref = (kind: RingRef['kind'], id: string) => ({ app: app.id, kind, id });
  // Of a group there is an owner's ring; a personal conversation has none of its id. First what the
  // target names: the entry may be damaged.
  const named = places.map((place) => ref(ringKinds.place, place));
  await powers.keyringShred.shred([...named, ref(ringKinds.owner, conversation)], request.loss);
  const entry = await readConversation(run, conversation);
  const own = entry === undefined ? [] : [entry.value.messagePlace, entry.value.profilePlace];
  const others = own.filter((place) => !places.includes(place));
  if (others.length === 0) return;
  await powers.keyringShred.shred(
    others.map((place) => ref(ringKinds.place, place)),
    request.loss,
  );
}
