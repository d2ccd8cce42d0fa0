/**
 * JSON as it was sent (RFC 8259): UTF-8 alone, and numbers that a double holds. What would be kept
 * otherwise is refused: two names that differ in one odd byte must not become one.
 */
import { isUtf8 } from 'node:buffer';

/** What was read, or why nothing was; a problem holds nothing of the input. */
export type ExactJson = { readonly value: unknown } | { readonly problem: string };

const BYTE_ORDER_MARK = Buffer.from('\ufeff');
/** Strings, which are passed over whole, and numbers that a double may not hold. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.]*[eE][+-]?\d+|-?[\d.]{16,}/g;
/** A double holds fifteen digits, whatever they are. */
const MAY_BE_LONG = /[\d.]{16}|\d[eE]/;
const NUMBER = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/** Reads one JSON text. A mark at its start that says "UTF-8" is passed over. */
export function readExactJson(given: Buffer): ExactJson {
  const hasMark = given.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  const bytes = hasMark ? given.subarray(BYTE_ORDER_MARK.length) : given;
  const text = bytes.toString('utf8');
  if (!isUtf8(bytes)) {
    const at = firstDifference(bytes, Buffer.from(text)) + given.length - bytes.length;
    return { problem: `UTF-8 text; the byte at ${at} is of another encoding` };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: 'valid JSON' };
  }
  if (!MAY_BE_LONG.test(text)) return { value };
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (token.startsWith('"') || isExact(token)) continue;
    return {
      problem: `a number that a double holds; the one at character ${index} is not: quote it`,
    };
  }
  return { value };
}

/** What cannot be decoded comes back as other bytes. */
function firstDifference(bytes: Buffer, back: Buffer): number {
  let at = 0;
  while (at < bytes.length && bytes[at] === back[at]) at += 1;
  return at;
}

function isExact(token: string): boolean {
  const kept = Number(token);
  return Number.isFinite(kept) && decimalOf(token) === decimalOf(String(kept));
}

/** Digits without zeros at either end, and the power of ten that they are multiplied with. */
function decimalOf(number: string): string {
  const [, whole = '', fraction = '', power = '0'] = NUMBER.exec(number)!;
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${significant}e${Number(power) - fraction.length + digits.length - significant.length}`;
}
