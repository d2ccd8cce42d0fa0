/**
 * The demo's sample: made by a seeded generator, about nobody. Names are colours and plants; texts
 * are put together from stock phrases in seven languages.
 */

/** One CloudEvent. */
export type SampleEvent = Readonly<Record<string, unknown>>;

export interface Sample {
  readonly events: readonly SampleEvent[];
  /** Whom the story erases: a member of the group and a customer with a personal conversation. */
  readonly person: { readonly channel: string; readonly externalId: string; readonly name: string };
  /** The group that is shown, by source and external id. */
  readonly group: { readonly source: string; readonly externalId: string };
  /** A sentence that only the person says, in the group. */
  readonly sentence: string;
  readonly counts: Readonly<Record<string, number>>;
}

const SEED = 20_261_121;
const PEOPLE = 40;
const PERSONAL_MESSAGES = 880;
const GROUP_MESSAGES = 140;
const START_MS = Date.parse('2026-03-02T08:00:00Z');
const CHANNELS = ['whatsapp', 'sms', 'email', 'chat'] as const;
const COLOURS = ['Amber', 'Indigo', 'Olive', 'Coral', 'Ivory', 'Teal', 'Umber', 'Violet'];
const PLANTS = ['Fern', 'Maple', 'Clover', 'Willow', 'Thistle'];
const SENTENCE = 'the spare key hangs behind the blue door of the greenhouse';

// Emoji with joiners, right-to-left scripts and combining marks are where stores lose bytes.
const PHRASES: Readonly<Record<string, readonly string[]>> = {
  en: ['is the parcel on its way?', 'thank you, that helped 👍', 'see you at nine'],
  es: ['¿cuándo llega el paquete?', '¡muchas gracias! 🎉', 'nos vemos mañana'],
  fr: ['où est ma commande ?', 'c’est noté, à demain', 'ça marche très bien 😊'],
  ar: ['أين طلبي؟', 'شكرًا جزيلًا 🌷', 'إلى اللقاء'],
  he: ['מתי תגיע החבילה?', 'תודה רבה 🙏', 'נתראה מחר'],
  ja: ['荷物はいつ届きますか', 'ありがとうございます🙇‍♀️', 'また明日'],
  hi: ['मेरा ऑर्डर कहाँ है?', 'बहुत धन्यवाद 👨‍👩‍👧', 'कल मिलते हैं'],
};
const COMBINING = ['Z͑ͫ̓a̴l̶go̷ te̸xt', 'e\u0301te\u0301', 'ก็จะดี'];

/** Mulberry32: small, seeded, good enough for a sample. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

interface Person {
  readonly name: string;
  readonly channel: (typeof CHANNELS)[number];
  readonly externalId: string;
  readonly phrases: readonly string[];
}

function makePeople(): Person[] {
  const languages = Object.keys(PHRASES);
  return Array.from({ length: PEOPLE }, (_, i) => {
    const channel = CHANNELS[i % CHANNELS.length]!;
    const name = `${COLOURS[i % COLOURS.length]} ${PLANTS[Math.floor(i / COLOURS.length)]}`;
    const slug = name.toLowerCase().replace(' ', '.');
    const externalId = channel === 'email' ? `${slug}@sample.invalid` : `sample-${channel}-${i}`;
    return { name, channel, externalId, phrases: PHRASES[languages[i % languages.length]!]! };
  });
}

/** Makes the same sample at every call. */
export function makeSample(): Sample {
  const random = createRandom(SEED);
  const people = makePeople();
  const events: SampleEvent[] = [];
  const counts = { messages: 0, edits: 0, quotes: 0, reactions: 0, removals: 0 };
  let tick = 0;
  const add = (type: string, delivery: { source: string; id: string }, data: object) => {
    tick += 1;
    const time = new Date(START_MS + tick * 61_000).toISOString();
    events.push({ specversion: '1.0', type: `lethe.${type}`, ...delivery, time, data });
  };
  const text = (person: Person) => {
    const own = person.phrases[random(person.phrases.length)]!;
    return random(25) === 0 ? `${own} ${COMBINING[random(COMBINING.length)]}` : own;
  };
  const user = ({ channel, externalId, name }: Person) => {
    return { type: 'user', identity: { channel, externalId }, displayName: name };
  };

  for (let i = 0; i < PERSONAL_MESSAGES; i += 1) {
    const person = people[random(PEOPLE)]!;
    const { channel, externalId } = person;
    const of = { source: `/channels/${channel}/line-1`, id: `personal-${i}` };
    const conversation = { type: 'personal' };
    counts.messages += 1;
    if (random(3) > 0) {
      const content = { type: 'text', text: text(person) };
      add('message.received', of, { conversation, author: user(person), content });
    } else {
      const author = { type: 'business', displayName: 'Help Desk' };
      const recipients = [{ identity: { channel, externalId } }];
      const content = { type: 'text', text: 'We are looking into it.' };
      add('message.sent', of, { conversation, author, recipients, content });
    }
  }

  const group = { source: '/channels/chat/garden-club', externalId: 'garden-club' };
  const conversation = { type: 'sdkGroup', externalId: group.externalId };
  const { source } = group;
  const members = people.filter((_, i) => i % 4 === 3);
  const person = members[2]!;
  for (let i = 0; i < GROUP_MESSAGES; i += 1) {
    const author = i === 60 ? person : members[random(members.length)]!;
    const said = i === 60 ? SENTENCE : text(author);
    const quoted = i > 10 && random(9) === 0 ? { externalId: `group-${i - 3}` } : undefined;
    const content = { type: 'text', text: said };
    counts.messages += 1;
    counts.quotes += quoted === undefined ? 0 : 1;
    const data = { conversation, author: user(author), content, ...(quoted && { quoted }) };
    add('message.received', { source, id: `group-${i}` }, data);
    const message = { externalId: `group-${i}` };
    if (i % 20 === 5) {
      counts.edits += 1;
      const edit = { type: 'text', text: `${said} (corrected)` };
      const data = { conversation, message, author: user(author), content: edit };
      add('message.edited', { source, id: `group-${i}-edit-1` }, data);
    }
    if (i % 15 === 4) {
      counts.reactions += 1;
      const data = { conversation, message, author: user(members[0]!), reaction: '🌱' };
      add('message.reacted', { source, id: `group-${i}-reaction` }, data);
    }
  }
  counts.removals += 1;
  const message = { externalId: 'group-7' };
  const author = { type: 'business' };
  add('message.removed', { source, id: 'group-7-removed' }, { conversation, message, author });
  return { events, person, group, sentence: SENTENCE, counts: { people: PEOPLE, ...counts } };
}
