/**
 * JSON as it was sent (RFC 8259): UTF-8 alone, and numbers that a double holds. What would be kept
 * otherwise is refused: two names that differ in one odd byte must not become one.
 */
import { isUtf8 } from 'node:buffer';

/** What was read, or why nothing was; a problem holds nothing of the input. */
export type ExactJson = { readonly value: unknown } | { readonly problem: string };

const BYTE_ORDER_MARK = Buffer.from('\ufeff');
/** Far more than any event has. */
const DEPTH_MAX = 64;
const PARTS_MAX = 500_000;
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
  const excess = excessOf(bytes);
  if (excess !== undefined) return { problem: excess };
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

const codeOf = (character: string) => character.charCodeAt(0);
const [QUOTE, BACKSLASH] = [codeOf('"'), codeOf('\\')];
const OPENING = new Set(Buffer.from('[{'));
const CLOSING = new Set(Buffer.from(']}'));

/**
 * What is read takes far more memory than its text where it is nested very deep, or has very many
 * small parts: a reader may set limits (RFC 8259, section 9). Undefined: it is within them.
 */
function excessOf(bytes: Buffer): string | undefined {
  let depth = 0;
  let parts = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]!;
    if (byte === QUOTE) at = endOfText(bytes, at);
    else if (OPENING.has(byte)) {
      depth += 1;
      parts += 1;
      if (depth > DEPTH_MAX)
        return `JSON nested ${DEPTH_MAX} deep at most; at byte ${at} it is deeper`;
      if (parts > PARTS_MAX) return `JSON of at most ${PARTS_MAX} objects and arrays`;
    } else if (CLOSING.has(byte)) depth -= 1;
  }
  return undefined;
}

/** Where a text ends that begins here; the end of all where it does not. */
function endOfText(bytes: Buffer, from: number): number {
  for (let at = from + 1; ; at += 1) {
    at = bytes.indexOf(QUOTE, at);
    if (at < 0) return bytes.length;
    let slashes = 0;
    while (bytes[at - 1 - slashes] === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return at;
  }
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
