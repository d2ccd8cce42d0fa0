/** CloudEvents for tests. */

let serial = 0;

interface Common {
  id?: string;
  source?: string;
  time?: string;
}

function event(type: string, data: object, common: Common): object {
  serial += 1;
  return {
    specversion: '1.0',
    type,
    source: common.source ?? '/channels/chat/main',
    id: common.id ?? `m-${serial}`,
    time: common.time ?? '2025-03-01T12:00:00.000Z',
    data,
  };
}

/** The conversation that events are in unless they say otherwise. */
export const GROUP = { type: 'sdkGroup', externalId: 'room-1' };
export const PERSONAL = { type: 'personal' };

export function identity(name: string): { channel: string; externalId: string } {
  return { channel: 'chat', externalId: name };
}

export function person(name: string, displayName?: string): object {
  return { type: 'user', identity: identity(name), ...(displayName && { displayName }) };
}

export function business(displayName = 'Desk'): object {
  return { type: 'business', displayName };
}

export function received(
  from: string,
  text: string,
  more: Common & { conversation?: object; displayName?: string; quoted?: string } = {},
): object {
  const data = {
    conversation: more.conversation ?? GROUP,
    author: person(from, more.displayName),
    content: { type: 'text', text },
    ...(more.quoted && { quoted: { externalId: more.quoted } }),
  };
  return event('lethe.message.received', data, more);
}

export function sent(
  to: string | null,
  text: string,
  more: Common & { conversation?: object; displayName?: string } = {},
): object {
  const data = {
    conversation: more.conversation ?? (to === null ? GROUP : PERSONAL),
    author: business(more.displayName),
    recipients: to === null ? [] : [{ identity: identity(to) }],
    content: { type: 'text', text },
  };
  return event('lethe.message.sent', data, more);
}

export function edited(
  by: string,
  message: string,
  text: string,
  more: Common & { conversation?: object; by?: 'business' } = {},
): object {
  const data = {
    conversation: more.conversation ?? GROUP,
    message: { externalId: message },
    author: more.by === undefined ? person(by) : business(by),
    content: { type: 'text', text },
  };
  return event('lethe.message.edited', data, more);
}

export function reacted(
  by: string,
  message: string,
  reaction: string,
  more: Common & { conversation?: object; action?: string } = {},
): object {
  const data = {
    conversation: more.conversation ?? GROUP,
    message: { externalId: message },
    author: person(by),
    reaction,
    ...(more.action && { action: more.action }),
  };
  return event('lethe.message.reacted', data, more);
}

/** A message is taken back: by the business, or by a person. */
export function removed(
  message: string,
  more: Common & { conversation?: object; by?: string } = {},
): object {
  const conversation = more.conversation ?? GROUP;
  const author = more.by === undefined ? business() : person(more.by);
  const data = { conversation, message: { externalId: message }, author };
  return event('lethe.message.removed', data, more);
}

export function receipt(
  reader: string,
  message: string,
  status: string,
  more: Common & { conversation?: object } = {},
): object {
  const data = {
    conversation: more.conversation ?? GROUP,
    message: { externalId: message },
    identity: identity(reader),
    status,
  };
  return event('lethe.receipt.recorded', data, more);
}

export function profile(
  of: string,
  fields: object,
  more: Common & { metadata?: object } = {},
): object {
  const { metadata } = more;
  const data = { identity: identity(of), profile: fields, ...(metadata && { metadata }) };
  return event('lethe.profile.updated', data, more);
}

export function joined(who: string, more: Common & { conversation?: object } = {}): object {
  const conversation = more.conversation ?? GROUP;
  return event('lethe.participant.joined', { conversation, identity: identity(who) }, more);
}

export function left(who: string, more: Common & { conversation?: object } = {}): object {
  const conversation = more.conversation ?? GROUP;
  return event('lethe.participant.left', { conversation, identity: identity(who) }, more);
}
