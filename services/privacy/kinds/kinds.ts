/** Every kind of request. */
import { LetheError } from '../../../libs/base/lethe-error.ts';
import type { RequestKind } from '../../../libs/requests/request.ts';
import { clearConversation } from './clear-conversation.ts';
import { clearProfile } from './clear-profile.ts';
import { deleteConversation } from './delete-conversation.ts';
import { eraseApp } from './erase-app.ts';
import { eraseSubject } from './erase-subject.ts';
import { forgetAttachment } from './forget-attachment.ts';
import { forgetDays } from './forget-days.ts';
import { forgetMessage } from './forget-message.ts';
import type { Kind } from './kind.ts';
import { mergeSubjects } from './merge-subjects.ts';
import { releaseHold } from './release-hold.ts';

const kinds: { readonly [Name in RequestKind]: Kind<Name> } = {
  'erase-subject': eraseSubject,
  'clear-profile': clearProfile,
  'forget-message': forgetMessage,
  'forget-attachment': forgetAttachment,
  'clear-conversation': clearConversation,
  'delete-conversation': deleteConversation,
  'forget-days': forgetDays,
  'erase-app': eraseApp,
  'release-hold': releaseHold,
  'merge-subjects': mergeSubjects,
};

/** Is this a kind that this version can carry out? */
export function isKnownKind(name: string): name is RequestKind {
  return Object.hasOwn(kinds, name);
}

/** Is something certified when a request of this kind is done? */
export function isCertified(name: string): name is RequestKind {
  return isKnownKind(name) && kinds[name].certificate !== null;
}

/** What there is to know of a kind. Throws FORMAT_UNKNOWN: a newer version has recorded it. */
export function kindOf<Name extends RequestKind>(name: Name): Kind<Name> {
  if (isKnownKind(name)) return kinds[name];
  throw kindUnknown(name);
}

/** Why a request stays open: nothing of it is done by a version that cannot do all of it. */
export function kindUnknown(name: string): LetheError {
  const text = `a request of the kind ${name} stays open: use a newer Lethe`;
  return new LetheError('FORMAT_UNKNOWN', text);
}
