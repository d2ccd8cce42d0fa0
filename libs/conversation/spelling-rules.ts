/**
 * How an app has the identities of a channel spelled. Identities are compared letter by letter, so
 * `+49…` and `0049…` are two people unless an app that was made so brings both into one form. What
 * does not fit its rule stays as it is. Pure.
 */
import type { Author, Delivery, DeliveryBody, Identity } from './delivery.ts';

/**
 * Rules by channel: `text` (Unicode NFC), `email` (that, and the domain in small letters), `phone`
 * (E.164), `phone:DE` (the same; numbers without a country's code are of this ISO 3166 region).
 */
export type SpellingRules = Readonly<Record<string, string>>;

/** Brings identities into the form that their rules ask for. */
export interface Speller {
  identity(identity: Identity): Identity;
  delivery(delivery: Delivery): Delivery;
}

type Spell = (text: string) => string;

/** Digits, and what people write between them; extensions and addresses are no numbers. */
const PHONE = /^\+?[\d\s().\-/]+$/;
const RULE = /^(text|email|phone(:[A-Z]{2})?)$/;
const RULES_MAX = 50;

/** What is wrong with rules; undefined: nothing is. */
export async function problemOfRules(rules: SpellingRules): Promise<string | undefined> {
  const all = Object.entries(rules);
  if (all.length > RULES_MAX) return `at most ${RULES_MAX} channels have a spelling rule`;
  const { isSupportedCountry } = await import('libphonenumber-js/max');
  for (const [channel, rule] of all) {
    if (channel === '' || channel.length > 64 || channel.startsWith('lethe:')) {
      return 'a channel has 1 to 64 characters, and does not begin with lethe:';
    }
    const region = rule.split(':')[1];
    const isKnown = region === undefined || isSupportedCountry(region);
    if (!RULE.test(rule) || !isKnown) return 'a rule is text, email, phone, or phone:DE (a region)';
  }
  return undefined;
}

const spellers = new WeakMap<SpellingRules, Promise<Speller>>();

/** The speller of these rules; the library for phone numbers is loaded where one needs it. */
export function spellerOf(rules: SpellingRules): Promise<Speller> {
  const known = spellers.get(rules) ?? openSpeller(rules);
  spellers.set(rules, known);
  return known;
}

async function openSpeller(rules: SpellingRules): Promise<Speller> {
  const spells = new Map<string, Spell>();
  for (const [channel, rule] of Object.entries(rules)) spells.set(channel, await spellOf(rule));
  const identity = (one: Identity): Identity => {
    const spell = spells.get(one.channel);
    return spell === undefined ? one : { ...one, externalId: spell(one.externalId) };
  };
  const delivery = (one: Delivery): Delivery =>
    spells.size === 0 ? one : { ...one, body: spellBody(one.body, identity) };
  return { identity, delivery };
}

function spellBody(body: DeliveryBody, spell: (identity: Identity) => Identity): DeliveryBody {
  const ofAuthor = (author: Author): Author =>
    author.type === 'user' ? { ...author, identity: spell(author.identity) } : author;
  return {
    ...body,
    ...('identity' in body && { identity: spell(body.identity) }),
    ...('author' in body && { author: ofAuthor(body.author) }),
    ...('recipients' in body && { recipients: body.recipients.map(spell) }),
  } as DeliveryBody;
}

async function spellOf(rule: string): Promise<Spell> {
  const [kind, region] = rule.split(':');
  if (kind === 'phone') return phoneSpell(region);
  return kind === 'email'
    ? (text) => emailForm(text.normalize('NFC'))
    : (text) => text.normalize('NFC');
}

/** RFC 5321, section 2.4: only the domain is the same in any case of its letters. */
function emailForm(text: string): string {
  const at = text.lastIndexOf('@');
  return at < 1 ? text : text.slice(0, at + 1) + text.slice(at + 1).toLowerCase();
}

async function phoneSpell(region: string | undefined): Promise<Spell> {
  const phones = await import('libphonenumber-js/max');
  type Region = Parameters<typeof phones.getCountryCallingCode>[0];
  const numberOf = (text: string, country?: string) => {
    const of = country === undefined ? {} : { defaultCountry: country as Region };
    const found = phones.parsePhoneNumberFromString(text, { ...of, extract: false });
    return found?.isValid() && found.ext === undefined ? found.number : undefined;
  };
  return (text) => {
    const plain = text.normalize('NFKC').trim();
    const kept = text.normalize('NFC');
    if (!PHONE.test(plain)) return kept;
    // As many channels write them: all digits, and nothing before the country's code.
    const international = numberOf(`+${plain.replace(/^(\+|00)/, '')}`);
    if (region === undefined || /^(\+|00)/.test(plain)) return international ?? kept;
    const local = numberOf(plain, region);
    // It can be read as two numbers: whoever it is must not become another person.
    if (local !== undefined && international !== undefined && local !== international) return kept;
    return local ?? international ?? kept;
  };
}
