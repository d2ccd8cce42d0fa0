/**
 * Avro binary encoding (Avro specification, "Binary Encoding") of the few shapes that are on the
 * hot path: the envelope and its header. Everything else goes through `avro.ts`; the tests compare
 * both over the same schemas.
 */
import { LetheError } from '../base/lethe-error.ts';

/** Writes into one growing work buffer; `take` copies out what was written since `start`. */
export class AvroWriter {
  #buffer = Buffer.allocUnsafe(4096);
  #at = 0;

  start(): void {
    this.#at = 0;
  }

  take(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#at));
  }

  #room(bytes: number): Buffer {
    if (this.#at + bytes > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(2 * (this.#buffer.length + bytes));
      this.#buffer.copy(larger, 0, 0, this.#at);
      this.#buffer = larger;
    }
    return this.#buffer;
  }

  /** A long that is not negative and at most 2^52: zigzag doubles it. */
  long(value: number): void {
    const buffer = this.#room(10);
    let rest = value * 2;
    while (rest > 0x7f) {
      buffer[this.#at] = (rest % 128) | 0x80;
      this.#at += 1;
      rest = Math.floor(rest / 128);
    }
    buffer[this.#at] = rest;
    this.#at += 1;
  }

  string(text: string): void {
    const length = Buffer.byteLength(text, 'utf8');
    this.long(length);
    this.#at += this.#room(length).write(text, this.#at, length, 'utf8');
  }

  bytes(value: Uint8Array): void {
    this.long(value.length);
    this.fixed(value);
  }

  fixed(value: Uint8Array): void {
    this.#room(value.length).set(value, this.#at);
    this.#at += value.length;
  }

  /** Fixed bytes given as hex text. */
  hex(text: string): void {
    this.#at += this.#room(text.length / 2).write(text, this.#at, 'hex');
  }

  /** The union ["null", X]: branch index, then X. */
  optional(value: string | null, write: 'string' | 'hex'): void {
    if (value === null) {
      this.long(0);
      return;
    }
    this.long(1);
    this[write](value);
  }
}

/** Reads one encoded value; every method throws FORMAT_UNKNOWN when the bytes do not allow it. */
export class AvroReader {
  readonly #bytes: Buffer;
  #at: number;
  #text: string | undefined;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get position(): number {
    return this.#at;
  }

  /** A long that is not negative and at most 2^52. */
  long(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i += 1) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) break;
      this.#at += 1;
      value += (byte & 0x7f) * scale;
      if ((byte & 0x80) === 0) {
        if (value % 2 !== 0) break;
        return value / 2;
      }
      scale *= 128;
    }
    throw unreadable();
  }

  fixed(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw unreadable();
    const value = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return value;
  }

  bytes(): Buffer {
    return this.fixed(this.long());
  }

  string(): string {
    const length = this.long();
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw unreadable();
    return this.#bytes.toString('utf8', from, this.#at);
  }

  // One conversion of the whole value, sliced: a call for each id costs four times as much.
  hex(length: number): string {
    this.#text ??= this.#bytes.toString('hex');
    const from = this.#at * 2;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw unreadable();
    return this.#text.slice(from, from + length * 2);
  }

  optionalString(): string | null {
    return this.#isPresent() ? this.string() : null;
  }

  optionalHex(length: number): string | null {
    return this.#isPresent() ? this.hex(length) : null;
  }

  #isPresent(): boolean {
    const branch = this.long();
    if (branch > 1) throw unreadable();
    return branch === 1;
  }

  /** Throws unless everything was read. */
  end(): void {
    if (this.#at !== this.#bytes.length) throw unreadable();
  }
}

function unreadable(): LetheError {
  return new LetheError('FORMAT_UNKNOWN', 'record value: its bytes do not fit its schema');
}
