/**
 * Reads fields of parsed JSON and says, for the first that is wrong, where it lies (a JSON pointer,
 * RFC 6901) and what was expected. The value itself is never part of the message.
 */

/** What was wrong with an input: where, and what was expected there. */
export interface FieldProblem {
  readonly pointer: string;
  readonly expected: string;
}

/** Thrown inside a validation; `readFields` turns it into a result. */
class FieldError extends Error {
  readonly problem: FieldProblem;
  constructor(problem: FieldProblem) {
    super(problem.expected);
    this.problem = problem;
  }
}

/** Runs a validation; its value, or the first problem. */
export function readFields<Value>(
  input: unknown,
  read: (root: FieldReader) => Value,
): { value: Value } | { problem: FieldProblem } {
  try {
    return { value: read(new FieldReader(input, '')) };
  } catch (error) {
    if (error instanceof FieldError) return { problem: error.problem };
    throw error;
  }
}

/** Text that can be stored and shown: well-formed UTF-16, no NUL. */
function isCleanText(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** Names and texts of a value, however deep they lie. */
function isCleanValue(value: unknown): boolean {
  const left: unknown[] = [value];
  while (left.length > 0) {
    const next = left.pop();
    if (typeof next === 'string' && !isCleanText(next)) return false;
    if (typeof next !== 'object' || next === null) continue;
    if (!Array.isArray(next)) left.push(...Object.keys(next));
    for (const one of Object.values(next)) left.push(one);
  }
  return true;
}

/** One value of the input and where it lies. */
export class FieldReader {
  readonly #value: unknown;
  readonly #pointer: string;

  constructor(value: unknown, pointer: string) {
    this.#value = value;
    this.#pointer = pointer;
  }

  fail(expected: string): never {
    throw new FieldError({ pointer: this.#pointer === '' ? '/' : this.#pointer, expected });
  }

  get isPresent(): boolean {
    return this.#value !== undefined && this.#value !== null;
  }

  get isTrue(): boolean {
    return this.#value === true;
  }

  /** A member of this object. */
  member(name: string): FieldReader {
    if (!this.isObject) this.fail('an object');
    const value = (this.#value as Record<string, unknown>)[name];
    const own = Object.hasOwn(this.#value as object, name) ? value : undefined;
    return new FieldReader(own, `${this.#pointer}/${name}`);
  }

  /** Another value in this place. */
  as(value: unknown): FieldReader {
    return new FieldReader(value, this.#pointer);
  }

  get isObject(): boolean {
    return typeof this.#value === 'object' && this.#value !== null && !Array.isArray(this.#value);
  }

  /** Names of this object's members. */
  memberNames(): string[] {
    if (!this.isObject) this.fail('an object');
    return Object.keys(this.#value as object);
  }

  items(countMax: number): FieldReader[] {
    if (!Array.isArray(this.#value)) this.fail('an array');
    if (this.#value.length > countMax) this.fail(`at most ${countMax} items`);
    return this.#value.map((item, i) => new FieldReader(item, `${this.#pointer}/${i}`));
  }

  text(lengthMax: number, lengthMin = 1): string {
    const value = this.#value;
    if (typeof value !== 'string') this.fail(this.isPresent ? 'a string' : 'a string (missing)');
    if (value.length < lengthMin) this.fail('a string that is not empty');
    if (value.length > lengthMax) this.fail(`a string of at most ${lengthMax} characters`);
    if (!isCleanText(value)) this.fail('well-formed Unicode text without NUL');
    return value;
  }

  optionalText(lengthMax: number): string | null {
    return this.isPresent ? this.text(lengthMax, 0) : null;
  }

  oneOf<Option extends string>(options: readonly Option[]): Option {
    const value = this.#value;
    if (typeof value !== 'string' || !options.includes(value as Option)) {
      this.fail(`one of ${options.join(', ')}`);
    }
    return value as Option;
  }

  /** An object as JSON text, without the named members; null when nothing is left of it. */
  json(sizeMax: number, without: readonly string[] = []): string | null {
    if (!this.isObject) this.fail('an object');
    const rest: Record<string, unknown> = { ...(this.#value as Record<string, unknown>) };
    for (const name of without) delete rest[name];
    if (Object.keys(rest).length === 0) return null;
    const text = JSON.stringify(rest);
    if (text.length > sizeMax) this.fail(`an object of at most ${sizeMax} characters of JSON`);
    if (!isCleanValue(rest)) this.fail('well-formed Unicode text without NUL');
    return text;
  }
}
