/** The privacy service: takes requests, carries them out at once, and finishes interrupted ones. */

import type { PrivacyPowers } from '../../libs/backends/powers.ts';
import type {
  AppId,
  ConversationId,
  ErasureId,
  MessageId,
  SubjectId,
} from '../../libs/base/ids.ts';
import { randomUuidV7 } from '../../libs/base/random.ts';
import type { PassedHolders } from '../../libs/keyring/keyring.ts';
import { assertFenced } from '../../libs/people/find-subject.ts';
import type { RequestKind, RequestTarget } from '../../libs/requests/request-store.ts';
import { carryOut } from './carry-out.ts';

/** The id of the erasure, or why there was nothing to take. */
export type PrivacyOutcome =
  | { readonly status: 'done'; readonly erasure: ErasureId; readonly t0: PassedHolders }
  | { readonly status: 'erased' }
  | { readonly status: 'notFound' }
  | { readonly status: 'refused'; readonly reason: string };

/** Each call resolves when key material is gone durably and no running process can use it. */
export interface Privacy {
  eraseSubject(app: AppId, subject: SubjectId): Promise<PrivacyOutcome>;
  /** Names, e-mail, picture, metadata; identities and conversations stay. */
  clearProfile(app: AppId, subject: SubjectId): Promise<PrivacyOutcome>;
  /** A message with its edits and everybody's reactions. */
  forgetMessage(
    app: AppId,
    conversation: ConversationId,
    message: MessageId,
  ): Promise<PrivacyOutcome>;
  /** All messages; the conversation can be used again. */
  clearConversation(app: AppId, conversation: ConversationId): Promise<PrivacyOutcome>;
  /** The conversation itself; a person's default one can only be cleared. */
  deleteConversation(app: AppId, conversation: ConversationId): Promise<PrivacyOutcome>;
  eraseApp(app: AppId): Promise<PrivacyOutcome>;
}

/** Opens the service over its powers. */
export function createPrivacy(powers: PrivacyPowers): Privacy {
  const { requests, clock, directory } = powers;

  async function request(
    app: AppId,
    kind: RequestKind,
    target: RequestTarget,
  ): Promise<PrivacyOutcome> {
    const nowMs = clock.nowMs();
    const id = randomUuidV7(powers.randomness, nowMs) as string as ErasureId;
    const times = { receivedAtMs: nowMs, changedAtMs: nowMs };
    const made = { id, app, kind, target, step: 'begun', ...times };
    await requests.add(made);
    const [carried] = await carryOut(powers, [made]);
    if ('failure' in carried!) throw carried.failure;
    return { status: 'done', erasure: id, t0: carried! };
  }

  async function conversationOf(app: AppId, id: ConversationId) {
    const [entry] = await directory.conversations(app, [id]);
    return entry;
  }

  return {
    async eraseSubject(app, subject) {
      const [entry] = await directory.subjects(app, [subject]);
      if (entry === undefined) {
        await assertFenced(powers, app, subject);
        return { status: 'erased' };
      }
      return request(app, 'erase-subject', { subject });
    },
    async clearProfile(app, subject) {
      const [entry] = await directory.subjects(app, [subject]);
      if (entry === undefined) return { status: 'erased' };
      return request(app, 'clear-profile', { subject, place: entry.value.profilePlace });
    },
    async forgetMessage(app, conversation, message) {
      const entry = await conversationOf(app, conversation);
      if (entry === 'erased') return { status: 'erased' };
      const view = await powers.views.message(message);
      if (entry === undefined || view?.conversation !== conversation) {
        return { status: 'notFound' };
      }
      const place = entry.value.messagePlace;
      return request(app, 'forget-message', { conversation, message, place });
    },
    async clearConversation(app, conversation) {
      const entry = await conversationOf(app, conversation);
      if (entry === 'erased') return { status: 'erased' };
      if (entry === undefined) return { status: 'notFound' };
      const place = entry.value.messagePlace;
      return request(app, 'clear-conversation', { conversation, place });
    },
    async deleteConversation(app, conversation) {
      const entry = await conversationOf(app, conversation);
      if (entry === 'erased') return { status: 'erased' };
      if (entry === undefined) return { status: 'notFound' };
      if (entry.value.isDefault) {
        return { status: 'refused', reason: 'the default conversation can only be cleared' };
      }
      return request(app, 'delete-conversation', { conversation });
    },
    async eraseApp(app) {
      if ((await powers.apps.find(app)) === undefined) {
        return { status: (await powers.apps.wasErased(app)) ? 'erased' : 'notFound' };
      }
      return request(app, 'erase-app', {});
    },
  };
}
