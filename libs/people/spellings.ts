/**
 * Spellings that may mean the same identity. Lookups are by the exact spelling; whoever asks for a
 * person by hand must be told of those who are known by one that is near. Pure.
 */

const PHONE = /^\+?[\d\s().\-/]+$/;
/** Of two numbers that end alike: a country's code before one, a zero before the other. */
const PHONE_DIGITS_MIN = 7;

/** May two identities be spellings of one? Of case, form, blanks, and how numbers are written. */
export function areNear(one: string, other: string): boolean {
  const [a, b] = [plain(one), plain(other)];
  if (a === b) return true;
  const [digits, others] = [digitsOf(a), digitsOf(b)];
  if (digits === undefined || others === undefined) return false;
  return digits.endsWith(others) || others.endsWith(digits);
}

/** Unicode's compatible form in small letters, without blanks and without a scheme before it. */
function plain(text: string): string {
  const folded = text.normalize('NFKC').toLowerCase().replaceAll(/\s/g, '');
  return folded.replace(/^(whatsapp|tel|sms|mailto):/, '');
}

/** A phone number's digits, less what stands before it; undefined: it is none. */
function digitsOf(text: string): string | undefined {
  if (!PHONE.test(text)) return undefined;
  const digits = text.replaceAll(/\D/g, '').replace(/^0+/, '');
  return digits.length >= PHONE_DIGITS_MIN ? digits : undefined;
}
